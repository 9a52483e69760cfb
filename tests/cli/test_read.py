"""Files as people have them, right and wrong."""

import gzip
import json
import shutil

import anndata as ad
import h5py
import numpy as np
import pytest
from scipy.io import mmwrite

import s2s_scverse as s2s
from s2s_scverse._cli._files import read_section

SPATIALDATA = pytest.mark.filterwarnings("ignore:.*Scaler:DeprecationWarning", "ignore:.*zarr v3:UserWarning")


def assert_same(found, counts):
    assert (found.X != counts.X).nnz == 0
    assert found.obs_names.tolist() == counts.obs_names.tolist()
    np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])
    for key in ("array_row", "array_col"):
        np.testing.assert_array_equal(found.obs[key], counts.obs[key])


def csv(table, **options):
    return table.to_csv(index=False, **options).encode()


POSITIONS = {
    "Space Ranger 2": ("tissue_positions.csv", csv),
    "Space Ranger 1, no header": ("tissue_positions_list.csv", lambda table: csv(table, header=False)),
    "Visium HD": ("tissue_positions.parquet", lambda table: table.to_parquet(index=False)),
    "parquet by barcode": ("tissue_positions.parquet", lambda table: table.set_index("barcode").to_parquet()),
    "byte-order mark": ("tissue_positions.csv", lambda table: b"\xef\xbb\xbf" + csv(table)),
    "row numbers, quotes": ("tissue_positions.csv", lambda table: table.to_csv(quoting=2).encode()),
    "true and false": ("tissue_positions.csv", lambda table: csv(table.assign(in_tissue=table["in_tissue"] == 1))),
    "TRUE of R, tabs": (
        "tissue_positions.csv",
        lambda table: csv(table.assign(in_tissue=table["in_tissue"].map({1: "TRUE", 0: "FALSE"})), sep="\t"),
    ),
    "compressed": ("tissue_positions_list.csv.gz", lambda table: gzip.compress(csv(table, header=False))),
    "semicolons": ("tissue_positions.csv", lambda table: csv(table, sep=";")),
    "other suffix": ("tissue_positions.csv", lambda table: csv(table.assign(barcode=table["barcode"] + "-1"))),
}


@pytest.mark.parametrize(("name", "write"), POSITIONS.values(), ids=list(POSITIONS))
def test_space_ranger(outs, counts, name, write):
    folder, table = outs
    (folder / "spatial" / name).write_bytes(write(table))
    for path in (folder, folder / "filtered_feature_bc_matrix.h5"):
        assert_same(read_section(path), counts)
    elsewhere = (folder / "spatial" / name).rename(folder.parent / name)
    assert_same(read_section(folder, positions=elsewhere), counts)


def test_a_matrix_as_text(outs, counts):
    folder, table = outs
    table.to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    (folder / "filtered_feature_bc_matrix.h5").unlink()
    matrix = folder / "filtered_feature_bc_matrix"
    matrix.mkdir()
    genes = [f"{name}\t{name}\tGene Expression" for name in counts.var_names]
    for name, lines in (("barcodes", counts.obs_names), ("features", genes)):
        (matrix / f"{name}.tsv.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    with gzip.open(matrix / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, counts.X.T.astype(int))
    for path in (folder, matrix):
        assert_same(read_section(path), counts)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("cells.parquet", lambda table: table.to_parquet(index=False)),
        ("cells.parquet", lambda table: table.assign(cell_id=table["cell_id"].str.encode("utf-8")).to_parquet()),
        ("cells.csv.gz", lambda table: gzip.compress(csv(table))),
    ],
    ids=["parquet", "bytes", "csv"],
)
def test_xenium(run, outs, counts, name, write):
    folder, table = outs
    names = {"barcode": "cell_id", "pxl_col_in_fullres": "x_centroid", "pxl_row_in_fullres": "y_centroid"}
    (folder / name).write_bytes(write(table.rename(columns=names)[list(names.values())]))
    matrix = (folder / "filtered_feature_bc_matrix.h5").rename(folder / "cell_feature_matrix.h5")
    for path in (folder, matrix):
        found = read_section(path)
        assert (found.X != counts.X).nnz == 0
        assert found.obs_names.tolist() == counts.obs_names.tolist()
        np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])
        assert found.obs.empty
    section = json.loads(run("-q", "info", folder, "--bin-size", "200", "--json").stdout)["sections"][0]
    assert 0 < section["spots"] < counts.n_obs


def rewrite(folder, key, values):
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "r+") as file:
        del file["matrix"][key]
        file["matrix"][key] = np.array(values).astype("S")


def test_barcodes_are_text(outs, counts):
    folder, table = outs
    numbers = {name: f"{number:06d}" for number, name in enumerate(counts.obs_names)}
    table["barcode"] = table["barcode"].replace(numbers)
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewrite(folder, "barcodes", list(numbers.values()))
    found = read_section(folder)
    assert found.obs_names.tolist() == list(numbers.values())
    np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])


def test_other_features_and_repeated_names(outs, counts, caplog):
    folder, table = outs
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewrite(folder, "features/feature_type", ["Gene Expression"] * 5 + ["Antibody Capture"])
    rewrite(folder, "features/name", ["a", "b", "a", "d", "e", "f"])
    with caplog.at_level("INFO"):
        found = read_section(folder)
    assert found.var_names.tolist() == ["a", "b", "a-1", "d", "e"]
    assert (counts.X[:, :5] != found.X).nnz == 0
    assert "gene names that occur more than once get -1, -2, ...: a" in caplog.text


def test_what_to_pass_instead_of_folders_above(outs, tmp_path):
    folder, _ = outs
    with pytest.raises(ValueError, match=rf"in subfolders; pass one of: {folder}$"):
        read_section(tmp_path)
    bins = folder / "binned_outputs"
    for size in ("002", "008"):
        (bins / f"square_{size}um").mkdir(parents=True)
        shutil.copy(folder / "filtered_feature_bc_matrix.h5", bins / f"square_{size}um")
    (folder / "filtered_feature_bc_matrix.h5").rename(folder / "GSM1_filtered_feature_bc_matrix.h5")
    expected = f"{bins}/square_002um, {bins}/square_008um, {folder}/GSM1_.*h5 .*of Visium HD square_008um .*--upsamp"
    with pytest.raises(ValueError, match=expected):
        read_section(folder)


@SPATIALDATA
def test_regions_of_a_spatialdata_are_sections(run, counts, tmp_path):
    pytest.importorskip("spatialdata")
    both = ad.concat([counts, counts[:100]], label="slide", keys=["a", "b"], index_unique="-")
    sdata = s2s.get.spatialdata(s2s.pp.grid(both, upsample=1, library_key="slide"))
    del sdata["table"].uns["s2s"], sdata["table"].obs["s2s_measured"]  # as if others had written it
    sdata.write(tmp_path / "both.zarr")
    sections = json.loads(run("-q", "info", tmp_path / "both.zarr", "--json").stdout)["sections"]
    assert [(each["section"], each["spots"]) for each in sections] == [("sites_a", counts.n_obs), ("sites_b", 100)]
    refused = run("-q", "impute", "none.h5ad", "-o", tmp_path / "both.zarr")
    assert "both.zarr is a folder and would be replaced" in refused.stderr


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def delete(name):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            del file[name]

    return spoil


DAMAGED = r"section\.h5ad cannot be read; it may be truncated or in another format: "
BAD_FILES = {
    "truncated": (truncate, DAMAGED),
    "empty": (lambda path: path.write_bytes(b""), DAMAGED),
    "csv": (lambda path: path.write_text("gene,a,b\nx,1,2\n"), DAMAGED),
    "no obs": (delete("obs"), DAMAGED),
    "no X": (delete("X"), r"section\.h5ad has no X; pass --layer"),
    "nothing there": (lambda path: path.unlink(), r"section\.h5ad does not exist; expected an \.h5ad file"),
    "an empty folder": (
        lambda path: (path.unlink(), path.mkdir()),
        r"section\.h5ad is neither a zarr store nor an output of Space Ranger or Xenium; expected an \.h5ad file",
    ),
}


@pytest.mark.parametrize(("spoil", "text"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_bad_sections(told, h5ad, tmp_path, spoil, text):
    path = tmp_path / "section.h5ad"
    shutil.copy(h5ad, path)
    spoil(path)
    told(text, "info", path)


BAD_POSITIONS = {
    "none": (None, r"no spot positions \(tissue_positions\.parquet, .* pass --positions FILE"),
    "missing barcodes": (lambda t: t.iloc[:-2], r"2 of \d+ spots have no position, for example .*of the same sample"),
    "other barcodes": (lambda t: t.assign(barcode="x_" + t["barcode"]), "have no position.*those of x_"),
    "a missing column": (lambda t: t.drop(columns="array_col"), "expected the columns barcode, in_tissue, .* found"),
    "a missing number": (
        lambda t: t.assign(array_row=t["array_row"].where(t["array_row"] != 900)),
        "expected a number in each of in_tissue, .*, found none for barcode outside",
    ),
    "a barcode twice": (lambda t: t.iloc[[*range(len(t)), 0]], "one line per spot, found several of barcode outside"),
    "no line": (lambda t: t.iloc[:0], "no position"),
    "no spot in the tissue": (lambda t: t.assign(in_tissue=0), "no spot lies on tissue"),
}


@pytest.mark.parametrize(("spoil", "text"), BAD_POSITIONS.values(), ids=list(BAD_POSITIONS))
def test_bad_positions(told, outs, spoil, text):
    folder, table = outs
    if spoil is not None:
        spoil(table).to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    told(text, "info", folder)


def test_several_samples_in_one_matrix(told, outs, counts):
    folder, table = outs
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewrite(folder, "barcodes", [f"spot-{number % 2 + 1}" for number in range(counts.n_obs)])
    told("for example spot-1, spot-2.*of the same sample, and of one only", "info", folder)


def lose_chunks(path):
    for chunk in (path / "X" / "data").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith((".z", "zarr")):
            chunk.unlink()


@pytest.mark.filterwarnings("ignore:.*zarr v[23]", "ignore:Consolidated metadata")
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lose_chunks, r"section\.zarr cannot be read.*1 of 1 chunks of X/data are missing"),
        (lambda path: shutil.rmtree(path / "obs"), r"section\.zarr cannot be read"),
        (lambda path: [each.unlink() for each in path.glob("*z*") if each.is_file()], "neither a zarr store"),
    ],
    ids=["chunks", "obs", "metadata"],
)
def test_zarr_stores_that_were_copied_in_part(told, done, counts, tmp_path, spoil, text):
    counts.write_zarr(tmp_path / "section.zarr")
    done("-q", "info", tmp_path / "section.zarr")
    spoil(tmp_path / "section.zarr")
    told(text, "info", tmp_path / "section.zarr")
