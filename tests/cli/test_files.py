import gzip
import json
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import mmwrite

import s2s_scverse as s2s
from s2s_scverse._cli._read import read_section
from s2s_scverse._cli._space_ranger import COLUMNS
from s2s_scverse._cli._write import check_file, check_output, check_writable, replacing, write_section


@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet"])
def test_space_ranger(space_ranger, counts, name):
    folder, table = space_ranger
    path = folder / "spatial" / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, header="list" not in name)
    for found in (read_section(folder), read_section(folder / "filtered_feature_bc_matrix.h5")):
        assert (found.X != counts.X).nnz == 0
        assert found.obs_names.equals(counts.obs_names)
        assert found.var_names.equals(counts.var_names)
        np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])
        for key in ("array_row", "array_col"):
            np.testing.assert_array_equal(found.obs[key], counts.obs[key])


def test_spots_outside_the_tissue_are_left_out(space_ranger, counts):
    folder, table = space_ranger
    gone = counts.obs_names[3]
    table.loc[table["barcode"] == gone, "in_tissue"] = 0
    table.to_csv(folder / "elsewhere.csv", index=False)
    with pytest.warns(UserWarning, match=r"1 of \d+ spots of .* outside the tissue .* of another sample\?"):
        found = read_section(folder, positions=folder / "elsewhere.csv")
    assert found.obs_names.equals(counts.obs_names.drop(gone))


def csv(table, **options):
    return table.to_csv(index=False, **options)


def unnamed(table):
    return table.set_index("barcode").rename_axis(None)


VARIANTS = {
    "byte-order mark": lambda t: csv(t).encode("utf-8-sig"),
    "byte-order mark, no header": lambda t: csv(t, header=False).encode("utf-8-sig"),
    "upper case": lambda t: csv(t.rename(columns=str.upper)),
    "semicolons": lambda t: csv(t, sep=";", lineterminator="\r\n"),
    "blank lines": lambda t: "\n" + csv(t).replace("\n", "\n\n"),
    "truth values in quotes": lambda t: csv(t.astype({"in_tissue": bool}), quoting=2),
    "row numbers": lambda t: t.to_csv(),
    "barcodes as index": lambda t: unnamed(t).to_csv(),
    "barcodes as index, parquet": lambda t: unnamed(t).to_parquet(),
    "other suffix": lambda t: csv(t.assign(barcode=t["barcode"] + "-1")),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_positions_as_people_have_them(space_ranger, counts, variant):
    folder, table = space_ranger
    content = VARIANTS[variant](table)
    name = "tissue_positions.parquet" if "parquet" in variant else "tissue_positions.csv"
    (folder / "spatial" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    found = read_section(folder)
    assert found.obs_names.equals(counts.obs_names)
    np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])
    np.testing.assert_array_equal(found.obs["array_row"], counts.obs["array_row"])


def rewritten(folder, key, values):
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "r+") as file:
        del file["matrix"][key]
        file["matrix"][key] = np.array(values).astype("S")


def test_barcodes_are_text(space_ranger, counts):
    folder, table = space_ranger
    numbers = {name: f"{number:06d}" for number, name in enumerate(counts.obs_names)}
    table["barcode"] = table["barcode"].replace(numbers)
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewritten(folder, "barcodes", list(numbers.values()))
    found = read_section(folder)
    assert found.obs_names.tolist() == list(numbers.values())
    np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])


def test_several_samples_in_one_matrix(space_ranger, counts):
    folder, table = space_ranger
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewritten(folder, "barcodes", [f"spot-{number % 2 + 1}" for number in range(counts.n_obs)])
    with pytest.raises(ValueError, match=r"Not found: spot-1, spot-2.*holds several samples, .*pass one sample's"):
        read_section(folder)


def test_other_features_and_repeated_names(space_ranger, counts, caplog):
    folder, table = space_ranger
    table.to_csv(folder / "tissue_positions.csv", index=False)
    rewritten(folder, "features/feature_type", ["Gene Expression"] * 5 + ["Antibody Capture"])
    rewritten(folder, "features/name", ["a", "b", "a", "d", "e", "f"])
    with caplog.at_level("INFO"):
        found = read_section(folder)
    assert found.var_names.tolist() == ["a", "b", "a-1", "d", "e"]
    assert (counts.X[:, :5] != found.X).nnz == 0
    assert "left out 1 features that are no genes (Antibody Capture)" in caplog.text
    assert "names that several genes share get -1, -2, ...: a" in caplog.text


def test_a_matrix_as_text(space_ranger, counts):
    folder, table = space_ranger
    table.to_csv(folder / "spatial" / "tissue_positions.csv", index=False)
    (folder / "filtered_feature_bc_matrix.h5").unlink()
    matrix = folder / "filtered_feature_bc_matrix"
    matrix.mkdir()
    genes = [f"{name}\t{name}\tGene Expression" for name in counts.var_names]
    for name, lines in (("barcodes", counts.obs_names), ("features", genes)):
        (matrix / f"{name}.tsv.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    with gzip.open(matrix / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, counts.X.T.astype(int))
    for found in (read_section(folder), read_section(matrix)):
        assert (found.X != counts.X).nnz == 0
        np.testing.assert_array_equal(found.obsm["spatial"], counts.obsm["spatial"])


def test_images_are_carried_along(space_ranger):
    folder, table = space_ranger
    table.to_csv(folder / "tissue_positions.csv", index=False)
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    Image.fromarray(pixels).save(folder / "spatial" / "tissue_hires_image.png")
    assert "spatial" not in read_section(folder).uns
    scales = {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 8.0}
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(scales))
    library = read_section(folder).uns["spatial"]["outs"]
    np.testing.assert_array_equal(library["images"]["hires"], pixels)
    assert library["scalefactors"] == scales


def test_what_to_pass_of_folders_above(space_ranger, tmp_path):
    folder, table = space_ranger
    table.to_csv(folder / "tissue_positions.csv", index=False)
    with pytest.raises(ValueError, match=rf"further down; pass one of: {folder}$"):
        read_section(tmp_path)
    bins = folder / "binned_outputs"
    for size in ("002", "008"):
        (bins / f"square_{size}um").mkdir(parents=True)
        shutil.copy(folder / "filtered_feature_bc_matrix.h5", bins / f"square_{size}um")
    (folder / "filtered_feature_bc_matrix.h5").rename(folder / "GSM1_filtered_feature_bc_matrix.h5")
    expected = (
        f"{bins}/square_002um, {bins}/square_008um, {folder}/GSM1_.*h5 .*of Visium HD square_008um .*--upsample 1"
    )
    with pytest.raises(ValueError, match=expected):
        read_section(folder)
    (folder / "tissue_positions.csv").rename(folder / "GSM1_tissue_positions.csv")
    with pytest.raises(FileNotFoundError, match=rf"--positions FILE, for example {folder}/GSM1_tissue"):
        read_section(folder / "GSM1_filtered_feature_bc_matrix.h5")


def test_positions_that_do_not_fit(space_ranger, counts):
    folder, table = space_ranger
    with pytest.raises(
        FileNotFoundError, match=r"no positions of spots .*tissue_positions\.csv.*pass --positions FILE"
    ):
        read_section(folder)
    path = folder / "tissue_positions.csv"
    table.iloc[:-2].to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"2 of {counts.n_obs} spots of .* are not in .*; is it of another sample\?"):
        read_section(folder)
    table.drop(columns="array_col").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"must have the columns barcode, in_tissue, .* found barcode"):
        read_section(folder)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_written_and_read(counts, tmp_path, suffix):
    path = tmp_path / f"section{suffix}"
    for _ in range(2):  # the second takes the place of the first
        write_section(counts, path)
        found = read_section(path)
        assert (found.X != counts.X).nnz == 0
        assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_strings_of_pandas_3_are_written(counts, tmp_path, suffix):
    adata = counts.copy()
    adata.obs.index = adata.obs_names.astype("string[pyarrow]")
    adata.obs["text"] = pd.array([None, *adata.obs_names[1:]], dtype="string")
    check_writable(adata, tmp_path / f"out{suffix}")
    write_section(adata, tmp_path / f"out{suffix}")
    found = read_section(tmp_path / f"out{suffix}")
    assert found.obs_names.tolist() == counts.obs_names.tolist()
    assert found.obs["text"].isna().tolist() == [True] + [False] * (counts.n_obs - 1)


@pytest.mark.parametrize(
    ("suffix", "change", "element"),
    [
        (
            ".h5ad",
            lambda a: a.obs.__setitem__("qc", pd.Series([True, None] * 99, dtype=object)[: a.n_obs].to_numpy()),
            "obs/qc",
        ),
        (".h5ad", lambda a: a.obs.__setitem__("mix", np.array(["1", 2, 3.0] * 99, object)[: a.n_obs]), "obs/mix"),
        (".h5ad", lambda a: a.uns.__setitem__("run", {"genes": {"a", "b"}}), "uns/run/genes"),
        (".zarr", lambda a: a.obs.__setitem__("day", pd.Timestamp("2024-01-01")), "obs/day"),
        (".zarr", lambda a: a.var.__setitem__("CD4/CD8", 1.0), "var/CD4/CD8"),
        (".zarr", lambda a: a.obsm.__setitem__("t", a.obs.assign(x=pd.Timestamp("2024-01-01"))), "obsm/t/x"),
    ],
)
def test_what_cannot_be_written_is_named(counts, tmp_path, suffix, change, element):
    adata = counts.copy()
    change(adata)
    path = tmp_path / f"out{suffix}"
    with pytest.raises(ValueError, match=rf"^{element} cannot be written to {path}: .*; rename, convert or drop it"):
        check_writable(adata, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*Scaler:DeprecationWarning", "ignore:.*zarr v3:UserWarning")  # spatialdata's own
def test_spatialdata(counts, tmp_path):
    pytest.importorskip("spatialdata")
    dense = s2s.pp.grid(counts, upsample=1)
    s2s.get.spatialdata(dense).write(tmp_path / "section.zarr")
    found = read_section(tmp_path / "section.zarr")
    np.testing.assert_allclose(found.obsm["spatial"], dense.obsm["spatial"], atol=1e-6)
    assert (found.X != dense.X).nnz == 0


@pytest.mark.filterwarnings("ignore:.*Scaler:DeprecationWarning", "ignore:.*zarr v[23]:UserWarning")
def test_the_first_spatialdata_format(counts, tmp_path):
    pytest.importorskip("spatialdata")
    import zarr
    from spatialdata._io.format import SpatialDataContainerFormatV01

    dense = s2s.pp.grid(counts, upsample=1)
    old = tmp_path / "section.zarr"
    s2s.get.spatialdata(dense).write(old, sdata_formats=SpatialDataContainerFormatV01(), consolidate_metadata=False)
    del zarr.open_group(old).attrs["spatialdata_attrs"]
    assert (read_section(old).X != dense.X).nnz == 0


@pytest.mark.filterwarnings("ignore:.*Scaler:DeprecationWarning", "ignore:.*zarr v3:UserWarning")  # spatialdata's own
def test_regions_of_a_spatialdata_are_sections(run, counts, tmp_path):
    pytest.importorskip("spatialdata")
    both = ad.concat([counts, counts[:200]], label="slide", keys=["a", "b"], index_unique="-")
    dense = s2s.pp.grid(both, upsample=1, library_key="slide")
    sdata = s2s.get.spatialdata(dense)
    del sdata["table"].uns["s2s"], sdata["table"].obs["s2s_measured"]  # as if others had written it
    sdata.write(tmp_path / "both.zarr")
    result = run("-q", "info", tmp_path / "both.zarr")
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stdout.splitlines()[1:3]] == [
        "section 'sites_a'",
        "section 'sites_b'",
    ]


def test_files_of_other_kinds(tmp_path):
    import zarr

    (tmp_path / "table.csv").touch()
    (tmp_path / "folder").mkdir()
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(ValueError, match=r"table\.csv is of no known kind; expected an \.h5ad file"):
        read_section(tmp_path / "table.csv")
    with pytest.raises(ValueError, match="neither a zarr store nor Space Ranger's output"):
        read_section(tmp_path / "folder")
    with pytest.raises(ValueError, match="holds neither an AnnData nor a SpatialData"):
        read_section(tmp_path / "group.zarr")
    with pytest.raises(FileNotFoundError, match=r"none\.h5ad does not exist; expected an \.h5ad file"):
        read_section(tmp_path / "none.h5ad")


def test_outputs_that_cannot_be_written(tmp_path, h5ad):
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "file.zarr").touch()
    with pytest.raises(ValueError, match=r"--output must end in \.h5ad or \.zarr, found .*out\.csv"):
        check_output(tmp_path / "out.csv", source=h5ad)
    with pytest.raises(ValueError, match=r"--output is the input, .*; choose another name"):
        check_output(h5ad, source=h5ad)
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere of --output does not exist; make it first"):
        check_output(tmp_path / "nowhere" / "out.h5ad", source=h5ad)
    with pytest.raises(IsADirectoryError, match=r"folder\.zarr is a folder, and no AnnData"):
        check_output(tmp_path / "folder.zarr", source=h5ad)
    with pytest.raises(FileExistsError, match=r"file\.zarr is a file, and no folder"):
        check_output(tmp_path / "file.zarr", source=h5ad)
    (tmp_path / "folder.h5ad").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.h5ad is a folder, a file of this name is to be written"):
        check_output(tmp_path / "folder.h5ad", source=h5ad)
    with pytest.raises(IsADirectoryError, match=r"folder\.zarr is a folder, a file of this name is to be written"):
        check_file(tmp_path / "folder.zarr", source=h5ad)


@pytest.mark.filterwarnings("ignore:.*Scaler:DeprecationWarning", "ignore:.*zarr v3:UserWarning")  # spatialdata's own
def test_a_spatialdata_is_not_replaced(counts, tmp_path, h5ad):
    pytest.importorskip("spatialdata")
    s2s.get.spatialdata(s2s.pp.grid(counts, upsample=1)).write(tmp_path / "section.zarr")
    with pytest.raises(IsADirectoryError, match="no AnnData that could be replaced"):
        check_output(tmp_path / "section.zarr", source=h5ad)


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_the_old_and_nothing_else(tmp_path, folder):
    path = tmp_path / "result.zarr"
    content = path / "content" if folder else path
    if folder:
        path.mkdir()
    content.write_text("old")

    def fail():
        with replacing(path) as temporary:
            half = temporary / "content" if folder else temporary
            half.parent.mkdir(exist_ok=True)
            half.write_text("half")
            msg = "disk full"
            raise OSError(msg)

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert content.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["result.zarr"]


def test_a_folder_is_put_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "result.zarr"
    path.mkdir()
    (path / "content").write_text("old")
    rename = Path.rename

    def interrupted(self, target):
        if Path(target).name == path.name and ".old" not in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.mkdir()
    assert (path / "content").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["result.zarr"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(IsADirectoryError), replacing(folder) as temporary:
        temporary.write_text("scores")
    assert [each.name for each in tmp_path.rglob("*")] == ["results", "precious"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to(tmp_path / "real" / "out.csv")
    with replacing(tmp_path / "out.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_text() == "new"


def test_other_matrices_are_refused_in_words(tmp_path):
    (tmp_path / "tissue_positions.csv").write_text(",".join(COLUMNS) + "\n")
    with h5py.File(tmp_path / "matrix.h5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(ValueError, match=r"matrix\.h5 cannot be read, it may be truncated or of another kind: "):
        read_section(tmp_path / "matrix.h5")
