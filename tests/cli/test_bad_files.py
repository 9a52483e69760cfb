"""Broken files, case by case: exit code 1, one line that says what is wrong, nothing written, and nothing changed."""

import json
import shutil
import warnings

import anndata as ad
import h5py
import numpy as np
import pytest

COMMANDS = {
    "info": ["info", "{}"],
    "impute": ["impute", "{}", "-o", "out.h5ad"],
    "evaluate": ["evaluate", "{}", "-o", "scores.csv"],
}
CASES = []


def case(name, start, match, *options, commands=tuple(COMMANDS)):
    """Register a way to break a `start` (a suffix, or "outs": Space Ranger's folder), and options to call with.

    What is registered gets the path, and may return another one.
    """

    def register(spoil):
        CASES.extend(pytest.param(start, spoil, match, each, options, id=f"{name}, {each}") for each in commands)
        return spoil

    return register


def as_it_is(path):
    """Nothing is wrong with the section."""


# Files that are none, or only in part.
RANDOM = np.random.default_rng(0).bytes(5000)
UNREADABLE = r"{} cannot be read, it may be truncated or of another kind: "
UNKNOWN = r"{} is of no known kind; expected an \.h5ad file"
NEITHER = "the folder {} is neither a zarr store nor Space Ranger's output; expected an"


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)]) and None


def filled(content, name=None):
    def spoil(path):
        path = path if name is None else path.parent / name
        path.write_bytes(content)
        return path

    return spoil


for share in (0.01, 0.5, 0.99):
    case(f"{share:.0%} of an h5ad", ".h5ad", UNREADABLE)(cut(share))
for name, content in (("random bytes", RANDOM), ("nothing", b""), ("text", b"gene,value\n")):
    case(f"{name} as .h5ad", ".h5ad", UNREADABLE)(filled(content))
    for suffix in ("zarr", "csv", "parquet", "txt"):
        case(f"{name} as .{suffix}", ".h5ad", UNKNOWN, commands=["info"])(filled(content, f"section.{suffix}"))
    case(f"{name} as .h5", "outs", UNREADABLE)(filled(content, "outs/filtered_feature_bc_matrix.h5"))
case("half a 10x matrix", "outs", UNREADABLE)(
    lambda path: cut(0.5)(path / "filtered_feature_bc_matrix.h5") or path / "filtered_feature_bc_matrix.h5"
)


@case("a link to nothing", ".h5ad", "{} does not exist; expected an .h5ad file")
def _(path):
    path.unlink()
    path.symlink_to(path.with_name("gone.h5ad"))


@case("a folder as .h5ad", ".h5ad", NEITHER)
def _(path):
    path.unlink()
    path.mkdir()


@case("a number in HDF5", ".h5ad", UNREADABLE)
def _(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


# Sections that are broken inside.


def inside(change):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def at(name, place, value):
    return inside(lambda file: file[name].__setitem__(place, value))


case("no X", ".h5ad", "{} has no X; pass --layer")(inside(lambda file: file.__delitem__("X")))
case("no obs", ".h5ad", UNREADABLE + ".*'obs'")(inside(lambda file: file.__delitem__("obs")))
case("no such layer", ".h5ad", "layer 'no' not found in adata.layers", "--layer", "no")(as_it_is)
case("no such coordinates", ".h5ad", "adata.obsm has no 'xy', it has: spatial", "--spatial-key", "xy")(as_it_is)
case("no such column", ".h5ad", "library_key='slide' not found in adata.obs", "--library-key", "slide")(as_it_is)
case("NaN coordinates", ".h5ad", r"adata\.obsm\['spatial'\] is NaN or infinite for 1 of \d+ spots; drop them first")(
    at("obsm/spatial", (3, 0), np.nan)
)
for name, values in (("NaN", np.nan), ("infinite", np.inf)):
    case(
        f"{name} values", ".h5ad", r"values at (measured|held-out) spots are NaN or infinite \(1 of them\); set those"
    )(at("X/data", 5, values))
case(
    "negative counts",
    ".h5ad",
    "--normalise needs counts, found negative values; pass --as-is",
    "--normalise",
    commands=["impute"],
)(at("X/data", 5, -3.5))
for name, place, value, text in (
    ("an index outside", "indices", 10**6, "indices must be < 6"),
    ("a negative index", "indices", -5, "indices must be >= 0"),
    ("an end outside", "indptr", 10**6, "indptr must be a non-decreasing sequence"),
):
    case(name, ".h5ad", UNREADABLE + text)(at(f"X/{place}", 3, value))
case("X of an unknown kind", ".h5ad", UNREADABLE + "No read method registered for .*tensor")(
    inside(lambda file: file["X"].attrs.__setitem__("encoding-type", "tensor"))
)


@case("coordinates of fewer spots", ".h5ad", UNREADABLE + r".*\(3, 2\)|.*shape")
@inside
def _(file):
    del file["obsm/spatial"]
    spatial = file["obsm"].create_dataset("spatial", data=np.ones((3, 2)))
    spatial.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


@case("a byte changed", ".h5ad", UNREADABLE + "Can't synchronously read data")
def _(path):
    ad.read_h5ad(path).write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(content)


def changed(change):
    def spoil(path):
        adata = ad.read_h5ad(path)
        change(adata)
        adata.write_h5ad(path)

    return spoil


case("repeated genes", ".h5ad", r"gene names are not unique \(g\); call adata\.var_names_make_unique\(\) first")(
    changed(lambda adata: setattr(adata, "var_names", ["g"] * adata.n_vars))
)
case("repeated spots", ".h5ad", r"spot names are not unique \(s\); call adata\.obs_names_make_unique\(\) first")(
    changed(lambda adata: setattr(adata, "obs_names", ["s"] * adata.n_obs))
)
case(
    "array positions as text", ".h5ad", r"adata\.obs\['array_row'\] must hold whole numbers, found dtype .*; convert it"
)(changed(lambda adata: setattr(adata, "obs", adata.obs.astype({"array_row": str}))))
case("X of truth values", ".h5ad", r"X must hold real numbers, found dtype bool; if it does, convert it")(
    changed(lambda adata: setattr(adata, "X", adata.X.toarray() > 1))
)
case("no obsm", ".h5ad", r"coordinates not found: adata\.obsm has no 'spatial'")(
    changed(lambda adata: (adata.obsm.clear(), adata.obs.drop(columns=["array_row", "array_col"], inplace=True)))
)
case("X of text", ".h5ad", "must hold real numbers, found dtype object; if it does, convert it")(
    changed(lambda adata: setattr(adata, "X", adata.X.toarray().astype(str).astype(object)))
)
case("coordinates in 3 columns", ".h5ad", r"must have 2 columns \(x, y\), found shape")(
    changed(lambda adata: adata.obsm.__setitem__("spatial", np.c_[adata.obsm["spatial"], np.zeros(adata.n_obs)]))
)
case("all spots at one place", ".h5ad", "lie at one place or on one line, which array_row/array_col contradict")(
    changed(lambda adata: adata.obsm.__setitem__("spatial", adata.obsm["spatial"] * 0))
)


# Stores that were copied in part.


def metadata(folder):
    return [path for path in folder.iterdir() if path.name in ("zarr.json", ".zarray", ".zgroup", ".zattrs")]


def chunks(folder):
    found = [path for path in folder.rglob("*") if path.is_file() and path not in metadata(folder)]
    assert found
    return found


def unconsolidated(path):
    """Forget what is known of the parts of a store."""
    (path / ".zmetadata").unlink(missing_ok=True)
    if (path / "zarr.json").exists():
        found = json.loads((path / "zarr.json").read_text())
        found.pop("consolidated_metadata", None)
        (path / "zarr.json").write_text(json.dumps(found))


def all_of(paths, do):
    for path in paths:
        do(path)


for version in (2, 3):
    start = f".zarr v{version}"
    these = {"commands": ["info"] if version == 2 else list(COMMANDS)}
    case(f"a missing chunk, {start}", start, UNREADABLE + "1 chunks of X/data are missing", **these)(
        lambda path: all_of(chunks(path / "X" / "data"), lambda chunk: chunk.unlink())
    )
    case(f"half a chunk, {start}", start, UNREADABLE, **these)(
        lambda path: all_of(chunks(path / "X" / "data"), cut(0.5))
    )
    case(f"a missing array, {start}", start, UNREADABLE + "1 chunks of X/data are missing", **these)(
        lambda path: shutil.rmtree(path / "X" / "data")
    )
    case(f"a missing array that nothing tells of, {start}", start, UNREADABLE, **these)(
        lambda path: unconsolidated(path) or shutil.rmtree(path / "X" / "data")
    )
    case(f"no X, {start}", start, "{} has no X; pass --layer", **these)(
        lambda path: unconsolidated(path) or shutil.rmtree(path / "X")
    )
    case(f"no metadata of X, {start}", start, UNREADABLE + "section.zarr/X has no metadata", **these)(
        lambda path: unconsolidated(path) or all_of(metadata(path / "X"), lambda each: each.unlink())
    )
    case(f"no obs, {start}", start, UNREADABLE, **these)(lambda path: shutil.rmtree(path / "obs"))
    case(f"no metadata, {start}", start, NEITHER, **these)(
        lambda path: unconsolidated(path) or all_of(metadata(path), lambda each: each.unlink())
    )
    for name, content in (("half an object", "{"), ("a list", "[]"), ("nothing", "")):
        # What a list is taken for depends on the version of zarr.
        told = NEITHER if name != "a list" else "({} holds n|{} is n)either a"
        case(f"{name} as metadata, {start}", start, told, **these)(
            lambda path, content=content: (
                unconsolidated(path) or all_of(metadata(path), lambda each: each.write_text(content))
            )
        )


@case("nothing in a folder", ".zarr v3", NEITHER)
def _(path):
    shutil.rmtree(path)
    path.mkdir()


# Positions of spots.
POSITIONS = "tissue_positions.csv"


def with_positions(change, suffix="csv"):
    """Space Ranger's folder with other positions, which are changed as lines of text."""

    def spoil(path):
        where = path / "spatial" / f"tissue_positions.{suffix}"
        lines = (path / "spatial" / "tissue_positions.csv").read_text().splitlines()
        (path / "spatial" / "tissue_positions.csv").unlink()
        found = change(lines)
        where.write_bytes(found if isinstance(found, bytes) else "\n".join(found).encode())

    return spoil


def without_column(lines):
    return [line.rpartition(",")[0] for line in lines]


WHERE = rf".*outs/spatial/{POSITIONS}"
case("no positions", "outs", r"no positions of spots \(tissue_positions\.parquet, .* pass --positions FILE")(
    lambda path: (path / "spatial" / POSITIONS).unlink()
)
case("text among the positions", "outs", WHERE + " must hold a number in each of in_tissue, .* does not for 1 spots")(
    with_positions(lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0] + ",left"])
)
case("a position missing", "outs", WHERE + " must hold a number in each of in_tissue, .* does not for 1 spots")(
    with_positions(lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0] + ","])
)
case(
    "a barcode twice", "outs", WHERE + " holds barcodes more than once, for example spot_.*; expected one line a spot"
)(with_positions(lambda lines: [*lines, lines[-1]]))
case("spots without position", "outs", r"2 of \d+ spots of .* are not in " + WHERE + "; is it of another sample?")(
    with_positions(lambda lines: lines[:-2])
)
case("positions without a column", "outs", WHERE + " must have the columns barcode, in_tissue, .* found barcode")(
    with_positions(without_column)
)
case("positions with no line", "outs", WHERE + " must have the columns barcode, .* found barcode")(
    with_positions(lambda _: [])
)
case("positions of random bytes", "outs", WHERE + " cannot be read, it may be truncated or of another kind")(
    with_positions(lambda _: RANDOM)
)
case("a parquet of random bytes", "outs", r"tissue_positions\.parquet cannot be read, it may be truncated")(
    with_positions(lambda _: RANDOM, "parquet")
)
case("a parquet without content", "outs", r"tissue_positions\.parquet cannot be read, it may be truncated")(
    with_positions(lambda _: [], "parquet")
)
case("no spot in tissue", "outs", r"(\d+) of \1 spots .* lie outside .*; expected spots with in_tissue 1")(
    with_positions(lambda lines: [lines[0], *(line.replace(",1,", ",0,", 1) for line in lines[1:])])
)


# What other options name.


def beside(name, content):
    """A file beside the section, or a folder."""

    def spoil(path):
        if content is None:
            path.with_name(name).mkdir()
        else:
            path.with_name(name).write_bytes(content)

    return spoil


case(
    "random bytes as genes",
    ".h5ad",
    "--genes must be names or a text file .*, found a file of another kind: g.txt",
    "--genes",
    "g.txt",
)(beside("g.txt", RANDOM))
case("an empty file as genes", ".h5ad", "--genes names no gene, found 'g.txt'", "--genes", "g.txt")(
    beside("g.txt", b"")
)
case("a folder as genes", ".h5ad", "genes not found in adata.var_names: genes", "--genes", "genes")(
    beside("genes", None)
)
case("a table as genes", ".h5ad", "genes not found in adata.var_names: domain_1,3", "--genes", "g.csv")(
    beside("g.csv", b"domain_1,3\n")
)
case("a gene twice", ".h5ad", "genes are named more than once: domain_1", "--genes", "g.txt")(
    beside("g.txt", b"domain_1\ndomain_1\n")
)
images = ("--natural-images", "images")
case("no folder of pictures", ".h5ad", "found nothing at 'images'", *images, commands=["impute"])(as_it_is)
case(
    "a folder without pictures",
    ".h5ad",
    "the folder 'images' holds no images; expected files",
    *images,
    commands=["impute"],
)(beside("images", None))
case("a file for a folder of pictures", ".h5ad", "found a file at 'images'", *images, commands=["impute"])(
    beside("images", b"")
)


@case(
    "a broken picture",
    ".h5ad",
    "'images/x.png' cannot be read as an image: .*; repair or remove it",
    *images,
    commands=["impute"],
)
def _(path):
    beside("images", None)(path)
    (path.parent / "images" / "x.png").write_bytes(RANDOM)


for option in ("--checkpoint", "--pretrained"):
    for name, content in (("random bytes", RANDOM), ("nothing", b""), ("text", b"epoch,loss\n")):
        case(
            f"{name} as {option}",
            ".h5ad",
            "x.ckpt is no readable checkpoint .*truncated or foreign",
            option,
            "x.ckpt",
            commands=["impute"],
        )(beside("x.ckpt", content))
    case(f"a folder as {option}", ".h5ad", "x.ckpt is a folder; expected", option, "x.ckpt", commands=["impute"])(
        beside("x.ckpt", None)
    )
case("weights from nowhere", ".h5ad", "no checkpoint found at no.ckpt", "--pretrained", "no.ckpt", commands=["impute"])(
    as_it_is
)
case(
    "a checkpoint below a file",
    ".h5ad",
    "the folder g.txt of checkpoint='g.txt/x' does not exist; make it first",
    "--checkpoint",
    "g.txt/x",
    commands=["impute"],
)(beside("g.txt", b""))


# The tests.


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def source(counts, h5ad, tmp_path, monkeypatch, request):
    """Make a section of a kind, and go where it is."""
    monkeypatch.chdir(tmp_path)

    def make(kind):
        path = tmp_path / f"section{kind.split()[0]}"
        if kind == ".h5ad":
            shutil.copy(h5ad, path)
        elif kind == "outs":
            path, table = request.getfixturevalue("space_ranger")
            table.to_csv(path / "spatial" / POSITIONS, index=False)
        else:
            with ad.settings.override(zarr_write_format=int(kind[-1])), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of formats that will be the default
                counts.write_zarr(path)
        return path

    return make


@pytest.mark.filterwarnings("ignore:.* names are not unique:UserWarning")
@pytest.mark.parametrize(("start", "spoil", "match", "command", "options"), CASES)
def test_told_in_one_line(run, source, tmp_path, little_training, start, spoil, match, command, options):
    path = source(start)
    path = spoil(path) or path
    before = contents(tmp_path)
    result = run("-q", *[part.format(path) for part in COMMANDS[command]], *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("s2s: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert contents(tmp_path) == before
    with pytest.raises(ValueError, match=match.replace("{}", str(path))):
        raise ValueError(result.stderr)


def test_nothing_is_wrong_with_what_is_broken(run, source, little_training):
    for start in (".h5ad", "outs", ".zarr v2", ".zarr v3"):
        assert run("-q", "info", source(start)).exit_code == 0


@pytest.mark.parametrize("version", [2, 3])
def test_what_others_leave_in_a_store_does_no_harm(run, source, version):
    path = source(f".zarr v{version}")
    (path / ".ipynb_checkpoints").mkdir()
    (path / "notes.txt").write_text("mine")
    for each in metadata(path / "X" / "data"):
        each.unlink()  # consolidated metadata tells the same
    result = run("-q", "info", path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_there_are_enough():
    assert len(CASES) >= 80
