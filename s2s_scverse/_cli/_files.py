"""Read sections from files of several formats, and write files atomically."""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

log = logging.getLogger(__name__)

FORMATS: Final = (
    "an .h5ad file, a .zarr folder (AnnData or SpatialData), a 10x .h5 matrix with its positions, or an output folder "
    "of Space Ranger or Xenium"
)
MATRICES: Final = tuple(
    f"{name}{end}"
    for name in ("filtered_feature_bc_matrix", "raw_feature_bc_matrix", "cell_feature_matrix")
    for end in (".h5", "")
)
POSITIONS: Final = (
    *("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv"),
    *("tissue_positions.csv.gz", "tissue_positions_list.csv.gz", "cells.parquet", "cells.csv.gz", "cells.csv"),
)
COLUMNS: Final = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
OF_CELLS: Final = ("cell_id", "x_centroid", "y_centroid")  # in tables of Xenium

TRUTH: Final = {"False": "0", "FALSE": "0", "True": "1", "TRUE": "1"}


def read_section(
    path: Path, *, positions: Path | None = None, table: str = "table", layer: str | None = None
) -> "AnnData":
    """Read a section of one of the `FORMATS`, with `layer` as X; positions are searched for beside a 10x matrix."""
    from .._checks import check_layer

    if not path.exists():
        msg = f"{path} does not exist; expected {FORMATS}"
        raise FileNotFoundError(msg)
    matrix = _find_matrix(path)
    if matrix is not None:
        adata = read_10x(matrix, positions)
    elif path.is_dir():
        adata = _read_zarr(path, table)
    elif path.suffix == ".h5ad":
        import anndata

        with _reading(path):
            adata = anndata.read_h5ad(path)
    else:
        advice = "; decompress it first (gunzip)" if path.suffix == ".gz" else ""
        msg = f"{path} has no known format; expected {FORMATS}{advice}"
        raise ValueError(msg)
    if layer is not None:
        check_layer(adata, layer)
        adata.X = adata.layers[layer].copy()
        adata.uns.pop("log1p", None)  # it is about the X that was replaced
    if adata.X is None:
        msg = f"{path} has no X; pass --layer"
        raise ValueError(msg)
    log.info("read %s: %d observations, %d genes", path, adata.n_obs, adata.n_vars)
    return adata


def read_genes(genes: str | None, adata: "AnnData") -> list[str] | None:
    """Return gene names from a list separated by commas, or from a text file if there is one of that name."""
    from .._checks import check_genes

    if genes is None:
        return None
    names = genes.split(",")
    if isfile(genes):  # noqa: PTH113 - Path.is_file fails for lists that are longer than the name of a file may be
        with _reading(Path(genes)):
            names = Path(genes).read_text("utf-8-sig").split("\n")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        msg = f"--genes names no gene, found {genes!r}"
        raise ValueError(msg)
    check_genes(adata, names)
    return names


def _read_zarr(path: Path, table: str) -> "AnnData":
    import anndata
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        parts = set(group.group_keys())
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        msg = f"the folder {path} is neither a zarr store nor an output of Space Ranger or Xenium; expected {FORMATS}"
        if found := _find_outputs(path):
            msg = f"{path} holds Space Ranger's output under other names or in subfolders; pass one of: {found}"
        raise ValueError(msg) from error
    with _reading(path):
        # As after an interrupted copy: zarr reads missing chunks of a sparse matrix as zeros.
        for name, array in group.members(max_depth=None):
            if Path(name).name != "data" or not isinstance(array, zarr.Array):
                continue
            if missing := array.nchunks - array.nchunks_initialized:
                msg = f"{missing} of {array.nchunks} chunks of {name} are missing; copy the folder again"
                raise ValueError(msg)
        if group.attrs.get("encoding-type") == "anndata":
            return anndata.read_zarr(path)
    if not parts & {"table", "tables"}:
        msg = f"the zarr store {path} holds neither an AnnData nor a SpatialData with a table"
        raise ValueError(msg)
    from .. import pp
    from .._spatialdata import import_spatialdata

    spatialdata = import_spatialdata()
    with _reading(path):
        sdata = spatialdata.read_zarr(path)
    return pp.from_spatialdata(sdata, table=table)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in errors: those that libraries raise for damaged files rarely do, and are of any class."""
    try:
        with warnings.catch_warnings():
            # Names are made unique or refused later; other files in a store are ignored.
            warnings.filterwarnings("ignore", message=".* names are not unique|Object at .* is not recognized")
            yield
    except MemoryError as error:
        msg = f"{path} does not fit into memory"
        raise MemoryError(msg) from error
    except Exception as error:
        msg = f"{path} cannot be read; it may be truncated or in another format: {str(error) or type(error).__name__}"
        raise ValueError(msg) from error


def _find_matrix(path: Path) -> Path | None:
    """Return the matrix of Space Ranger's output: a file, a folder with a file of text, or one of them inside."""
    if path.suffix == ".h5" or any((path / name).is_file() for name in ("matrix.mtx", "matrix.mtx.gz")):
        return path
    return next((path / name for name in MATRICES if (path / name).exists()), None)


def _find_outputs(folder: Path) -> str:
    """List what can be read instead: samples or sizes of Visium HD's bins in subfolders, renamed matrices."""
    from .._checks import few

    levels = ("*", "*/*", "*/*/*")
    found = sorted({path.parent for level in levels for name in MATRICES for path in folder.glob(f"{level}/{name}")})
    text = few([*found, *sorted(folder.glob(f"*_{MATRICES[0]}"))], 12)
    if any(path.name.startswith("square_") for path in found):
        text += " (of Visium HD square_008um or square_016um, with --upsample 1: smaller bins hold too few counts)"
    return text


def read_10x(matrix: Path, positions: Path | None) -> "AnnData":
    """Read a 10x matrix with scanpy, and add the positions and images of its spots.

    ``squidpy.read.visium`` needs images and a CSV table, and gives NaN to barcodes that it does not find there.
    """
    import scanpy as sc

    from .._checks import few

    where = _find_positions(matrix.parent if positions is None else positions)
    with _reading(where):
        table = _read_positions(where)
    with _reading(matrix):
        adata = sc.read_10x_mtx(matrix, make_unique=False) if matrix.is_dir() else sc.read_10x_h5(matrix)
        image = next(filter(None, map(_read_images, (where.parent, matrix.parent / "spatial"))), None)
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        log.info("gene names that occur more than once get -1, -2, ...: %s", few(repeated))
        adata.var_names_make_unique()
    table = _match_barcodes(adata.obs_names, table, f"{matrix} and {where}").set_axis(adata.obs_names)
    adata.obs = table.iloc[:, :-2].copy()
    adata.obsm["spatial"] = table.iloc[:, -2:].to_numpy(dtype=float)
    if image is not None:
        adata.uns["spatial"] = {matrix.resolve().parent.name: image}
    return adata


def _find_positions(where: Path) -> Path:
    names = [where / folder / name for name in POSITIONS for folder in ("", "spatial")]
    for path in [where] if where.is_file() else names:
        if path.exists():
            return path
    msg = f"no spot positions ({', '.join(POSITIONS)}) in {where} and {where / 'spatial'}; pass --positions FILE"
    raise FileNotFoundError(msg)


def _read_positions(path: Path) -> "pd.DataFrame":
    """Return positions as numbers by barcode: in_tissue, array_row and array_col unless of cells; the last are x, y."""
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path).reset_index()  # barcodes may be the index
    else:
        # As text: barcodes can be digits. Space Ranger 1 wrote no header.
        table = pd.read_csv(path, header=None, dtype=str, encoding="utf-8-sig", sep=None, engine="python")
        first = table.iloc[0].str.strip().str.lower()
        if {COLUMNS[0], OF_CELLS[0]} & set(first):
            table = table[1:].set_axis(first, axis=1)
        elif len(first) == len(COLUMNS):
            table = table.set_axis(list(COLUMNS), axis=1)
    name, *columns = OF_CELLS if set(OF_CELLS) <= set(table) else COLUMNS
    if not {name, *columns} <= set(table):
        expected = f"{', '.join(COLUMNS)} (or those of cells, {', '.join(OF_CELLS)})"
        msg = f"expected the columns {expected}, found {', '.join(map(str, table))}"
        raise ValueError(msg)
    names = table[name].map(lambda value: value.decode() if isinstance(value, bytes) else str(value))
    numbers: pd.DataFrame = table.set_index(names)[columns]
    if len(repeated := numbers.index[numbers.index.duplicated()]):
        msg = f"expected one line per spot, found several of barcode {repeated[0]}"
        raise ValueError(msg)
    numbers = numbers.replace(TRUTH).apply(pd.to_numeric, errors="coerce")
    if len(bad := numbers.index[numbers.isna().any(axis=1)]):
        msg = f"expected a number in each of {', '.join(columns)}, found none for barcode {bad[0]}"
        raise ValueError(msg)
    return numbers if columns[0] != COLUMNS[1] else numbers[[*columns[:3], columns[4], columns[3]]]


def _match_barcodes(barcodes: "pd.Index", table: "pd.DataFrame", files: str) -> "pd.DataFrame":
    """Return the positions of the spots of a matrix; the suffix of barcodes ("-1") may differ."""
    from .._checks import few

    missing = barcodes[~barcodes.isin(table.index)]
    if not len(missing):
        return table.loc[barcodes]
    bare, known = (names.str.replace(r"-\d+$", "", regex=True) for names in (barcodes, table.index))
    if not (bare.is_unique and known.is_unique and bare.isin(known).all()):
        what = f"{len(missing)} of {len(barcodes)} spots have no position, for example {few(missing, 3)}"
        found = f"positions are those of {few(table.index, 3)}"
        msg = f"{what}; {found}; check that {files} are of the same sample, and of one only"
        raise ValueError(msg)
    log.info("barcodes such as %s and %s are matched without their suffix", barcodes[0], table.index[0])
    return table.set_axis(known).loc[bare]


def _read_images(folder: Path) -> dict[str, Any] | None:
    """Read the images of the tissue and their scale factors, as an entry of scanpy's ``uns["spatial"]``."""
    import numpy as np
    from PIL import Image

    scales = folder / "scalefactors_json.json"
    if not scales.is_file():
        return None
    paths = {kind: folder / f"tissue_{kind}_image.png" for kind in ("hires", "lowres")}
    images = {kind: np.asarray(Image.open(path)) for kind, path in paths.items() if path.is_file()}
    return {"images": images, "scalefactors": json.loads(scales.read_text()), "metadata": {}}


def check_output(path: Path, *, source: Path | None = None, section: bool = False, option: str = "--output") -> Path:
    """Return the path of a file or, with `section`, of an AnnData; refuse the input and what cannot be written."""
    from .._checks import check_folder

    if section and path.suffix not in (".h5ad", ".zarr"):
        msg = f"{option} must end in .h5ad or .zarr, found {path}"
        raise ValueError(msg)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        msg = f"{option} is the input, {path}, which would be replaced; choose another name"
        raise ValueError(msg)
    check_folder(path.parent, option)
    if path.is_dir() and not (section and path.suffix == ".zarr" and _holds_anndata(path)):
        msg = f"{path} is a folder and would be replaced; choose another name"
        raise IsADirectoryError(msg)
    if path.is_file() and section and path.suffix == ".zarr":
        msg = f"{path} is a file, but a zarr store is a folder; choose another name"
        raise FileExistsError(msg)
    return path


def check_writable(adata: "AnnData", path: Path) -> None:
    """Refuse a section with an element that cannot be written, by writing it (one row of its matrices) to memory."""
    import anndata
    import h5py
    import zarr

    from .._checks import named_layers

    adata.strings_to_categoricals()
    row = adata[:1]
    matrices = {"layers": named_layers(row), "obsp": dict(row.obsp), "varp": dict(adata.varp)}
    if adata.raw is not None:
        matrices["raw"] = {"var": adata.raw.var, "varm": dict(adata.raw.varm)}
    tables = {"obs": adata.obs, "var": adata.var, "obsm": dict(adata.obsm), "varm": dict(adata.varm)}
    try:
        with _formats(), h5py.File(io.BytesIO(), "w") as file:
            group = file if path.suffix == ".h5ad" else zarr.create_group({})
            anndata.io.write_elem(group, "/", {**matrices, **tables, "uns": dict(adata.uns)})
    except Exception as error:
        where = next(iter(getattr(error, "__notes__", [])), "")  # the first note is of the innermost element
        advice = "rename, convert or drop that element of the input (for a column: adata.obs[name].astype(str))"
        msg = f"the section cannot be written to {path}: {error} ({where}); {advice}"
        raise ValueError(msg) from error


def write_section(adata: "AnnData", path: Path) -> None:
    """Write an h5ad file or a zarr store, which appears under its name when it is complete."""
    with replacing(path) as temporary, _formats():
        try:
            if path.suffix == ".h5ad":
                adata.write_h5ad(temporary, compression="gzip")
            else:
                adata.write_zarr(temporary)
        except OSError as error:
            msg = f"{path} could not be written: {error.strerror or error}"
            raise OSError(error.errno, msg) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder; what is written there replaces `path` on success and is deleted otherwise.

    A folder replaces an earlier folder, a file an earlier file.
    """
    path = path.resolve()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", ignore_cleanup_errors=True) as folder:
        new, old = Path(folder) / path.name, Path(folder) / "earlier"
        yield new
        if new.is_dir() and path.is_dir():
            path.rename(old)
        try:
            new.replace(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise


@contextmanager
def _formats() -> Iterator[None]:
    """Write the strings of pandas 3; silence warnings of formats that other versions will write by default."""
    import anndata

    with warnings.catch_warnings(), anndata.settings.override(allow_write_nullable_strings=True):
        warnings.filterwarnings("ignore", message=".*zarr v[23].*|Forward slashes will be disallowed")
        yield


def _holds_anndata(path: Path) -> bool:
    import zarr

    try:
        group: Any = zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError):
        return False
    return bool(group.attrs.get("encoding-type") == "anndata")
