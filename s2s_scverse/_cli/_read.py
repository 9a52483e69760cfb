"""Reading sections from the files that people have; those that are broken, or point elsewhere, are refused."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._probe import check_through

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["read_section"]

POSITIONS: Final = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
COLUMNS: Final = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
"""Of Space Ranger's positions."""
MATRICES: Final = ("filtered_feature_bc_matrix.h5", "raw_feature_bc_matrix.h5")
METADATA: Final = ("zarr.json", ".zgroup", ".zarray")
"""Of the parts of a zarr store."""
FORMATS: Final = (
    "an .h5ad file, a .zarr folder (AnnData or SpatialData), a 10x .h5 matrix with its positions, or a folder of Space "
    "Ranger's output"
)


def read_section(path: Path, *, positions: Path | None = None, table: str = "table") -> "AnnData":
    """Read a section.

    Parameters
    ----------
    path
        What `FORMATS` says.
    positions
        Positions of the spots of a 10x matrix, as Space Ranger writes them; looked for beside the matrix unless given.
    table
        Of a SpatialData.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If it is of another kind, or positions do not fit.
    """
    if not path.exists():
        msg = f"{path} does not exist; expected {FORMATS}"
        raise FileNotFoundError(msg)
    if path.is_dir():
        matrix = next((path / name for name in MATRICES if (path / name).is_file()), None)
        return _read_zarr(path, table) if matrix is None else _read_10x(matrix, positions)
    if path.suffix == ".h5ad":
        import anndata

        with _reading(path):
            check_through(path)
            return _checked(anndata.read_h5ad(path))
    if path.suffix == ".h5":
        return _read_10x(path, positions)
    msg = f"{path} is of no known kind; expected {FORMATS}"
    raise ValueError(msg)


def _read_zarr(path: Path, table: str) -> "AnnData":
    import anndata
    import zarr

    try:
        with _quiet():
            group = zarr.open_group(path, mode="r")
            attributes, children = dict(group.attrs), set(group.group_keys())
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        msg = f"the folder {path} is neither a zarr store nor Space Ranger's output; expected {FORMATS}"
        raise ValueError(msg) from error
    with _reading(path):
        linked = next((part for part in path.rglob("*") if part.is_symlink()), None)
        if linked is not None:
            msg = f"{linked.relative_to(path)} is a link to another place, and that is not read"
            raise ValueError(msg)
        check_through(path)
    if attributes.get("encoding-type") == "anndata":
        with _reading(path):
            _check_whole(group, path)
            return _checked(anndata.read_zarr(path))
    # The first SpatialData had no attributes.
    if "spatialdata_attrs" not in attributes and not children & {"table", "tables"}:
        msg = f"the zarr store {path} holds neither an AnnData nor a SpatialData"
        raise ValueError(msg)
    from .. import pp
    from .._spatialdata import import_spatialdata

    library = import_spatialdata()
    with _reading(path):
        for tables in children & {"table", "tables"}:
            _check_whole(group[tables], path / tables)
        sdata = library.read_zarr(path)
    return _checked(pp.from_spatialdata(sdata, table=table))


def _read_10x(path: Path, positions: Path | None) -> "AnnData":
    import scanpy as sc

    where = _find_positions(path.parent) if positions is None else positions
    if where is None:
        looked = f"{path.parent} and {path.parent / 'spatial'}"
        msg = f"no positions of spots ({', '.join(POSITIONS)}) in {looked}; pass --positions FILE"
        raise FileNotFoundError(msg)
    table = _read_positions(where)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variable names are not unique")
        with _reading(path):
            check_through(path)
            # What is no gene is left out afterwards: that reads where indices point to.
            adata: AnnData = _checked(sc.read_10x_h5(path, gex_only=False))
            if "feature_types" in adata.var:
                adata = adata[:, adata.var["feature_types"] == "Gene Expression"].copy()
    adata.var_names_make_unique()
    missing = ~adata.obs_names.isin(table.index)
    if missing.any():
        msg = f"{int(missing.sum())} of {adata.n_obs} spots of {path} are not in {where}; is it of another sample?"
        raise ValueError(msg)
    table = table.loc[adata.obs_names]
    inside = (table["in_tissue"] == 1).to_numpy()
    adata.obs = table[list(COLUMNS[1:4])].copy()
    adata.obsm["spatial"] = table[[COLUMNS[5], COLUMNS[4]]].to_numpy(dtype=float)
    return adata[inside].copy()


def _find_positions(folder: Path) -> Path | None:
    found = (parent / name for parent in (folder, folder / "spatial") for name in POSITIONS)
    return next((path for path in found if path.is_file()), None)


def _read_positions(path: Path) -> "pd.DataFrame":
    """Read positions, (n_spots, 5) by barcode; old files have no header."""
    import pandas as pd

    with _reading(path):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            with path.open() as file:
                named = file.readline().startswith(COLUMNS[0])
            table = pd.read_csv(path, header=0 if named else None, names=None if named else list(COLUMNS))
    if not set(COLUMNS) <= set(table.columns):
        msg = f"{path} must have the columns {', '.join(COLUMNS)}, found {', '.join(map(str, table.columns))}"
        raise ValueError(msg)
    numbers: pd.DataFrame = table[list(COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    bad = numbers.isna().any(axis=1)
    if bad.any():
        msg = f"{path} must hold a number in each of {', '.join(COLUMNS[1:])}, and does not for {int(bad.sum())} spots"
        raise ValueError(msg)
    repeated = table[COLUMNS[0]][table[COLUMNS[0]].duplicated()]
    if len(repeated):
        msg = f"{path} holds barcodes more than once, for example {repeated.iloc[0]}; expected one line a spot"
        raise ValueError(msg)
    numbers.index = pd.Index(table[COLUMNS[0]])
    return numbers


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings of names, which are refused or made unique later on, and of other files in a store."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* names are not unique|Object at .* is not recognized")
        yield


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell which file cannot be read: what the libraries raise for broken ones is of any class, and seldom says it."""
    try:
        with _quiet():
            yield
    except MemoryError as error:
        msg = f"{path} holds more than fits into memory"
        raise MemoryError(msg) from error
    except Exception as error:
        msg = f"{path} cannot be read, it may be truncated or of another kind: {str(error) or type(error).__name__}"
        raise ValueError(msg) from error


def _check_whole(group: Any, folder: Path) -> None:
    """Refuse a store that was copied in part: zarr leaves out what has no metadata, and reads zeros for lost chunks."""
    parts = dict(group.members())
    for each in folder.iterdir():
        known = each.name.startswith(".") or each.name in parts
        if each.is_dir() and not known and not any((each / name).exists() for name in METADATA):
            msg = f"{folder.name}/{each.name} has no metadata"
            raise ValueError(msg)
    for name, part in parts.items():
        if part.attrs.get("encoding-type") in ("csr_matrix", "csc_matrix"):
            # Other arrays may well have chunks that hold but zeros, which are not written.
            for which in ("data", "indices"):
                missing = part[which].nchunks - part[which].nchunks_initialized
                if missing > 0:
                    msg = f"{missing} chunks of {name}/{which} are missing, or all 0 (then write it without those)"
                    raise ValueError(msg)
        if hasattr(part, "members"):
            _check_whole(part, folder / name)


def _checked(adata: "AnnData") -> "AnnData":
    """Refuse sparse matrices whose indices lie outside: compiled code would read there."""
    from .._checks import is_sparse, named_layers

    every = [adata.X, *(part for parts in (named_layers(adata), adata.obsm, adata.obsp) for part in parts.values())]
    every += [] if adata.raw is None else [adata.raw.X]
    for matrix in filter(is_sparse, every):
        matrix.check_format(full_check=True)
    return adata
