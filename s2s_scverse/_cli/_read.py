"""Reading sections from the files that people have; those that are broken, or point elsewhere, are refused."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._probe import check_through
from ._space_ranger import (
    COLUMNS,
    check_positions,
    find_matrix,
    find_positions,
    load_image,
    load_positions,
    match_barcodes,
    refuse_others,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_section"]

log = logging.getLogger(__name__)

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
        Positions of the spots of a 10x matrix, as Space Ranger writes them, or their folder; looked for beside the
        matrix unless given.
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
        matrix = find_matrix(path)
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
        refuse_others(path)
        msg = (
            f"the folder {path} is neither a zarr store nor Space Ranger's output; expected {FORMATS}; read what other "
            "programs write with squidpy.read or spatialdata-io, and write it as .h5ad or .zarr"
        )
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
    where = positions or path.parent
    where = find_positions(where) if where.is_dir() else where
    with _reading(where):
        found = load_positions(where)
    table = check_positions(found, where)
    with _reading(path):
        adata = _load_matrix(path)
    table = match_barcodes(adata.obs_names, table, path, where)
    adata.obs = table[list(COLUMNS[1:4])].set_axis(adata.obs_names)
    adata.obsm["spatial"] = table[[COLUMNS[5], COLUMNS[4]]].to_numpy(dtype=float)
    adata = adata[(adata.obs[COLUMNS[1]] == 1).to_numpy()].copy()
    folders = (where.parent, path.parent / "spatial")
    with _reading(folders[1]):
        image = next(filter(None, map(load_image, folders)), None)
    if image is not None:
        adata.uns["spatial"] = {path.resolve().parent.name: image}
    return adata


def _load_matrix(path: Path) -> "AnnData":
    """Read the genes of a matrix, and leave out proteins and the like."""
    import pandas as pd
    import scanpy as sc

    from .._checks import few

    if path.is_dir():
        adata: AnnData = sc.read_10x_mtx(path, gex_only=False, make_unique=False)
    else:
        check_through(path)
        adata = sc.read_10x_h5(path, gex_only=False)
    _checked(adata)
    # What is no gene is left out only now: the check reads where indices point to.
    genes = adata.var.get("feature_types", pd.Series("Gene Expression", adata.var_names)) == "Gene Expression"
    if not genes.all():
        others = ", ".join(adata.var["feature_types"][~genes].unique())
        log.info("left out %d features that are no genes (%s)", int((~genes).sum()), others)
        adata = adata[:, genes.to_numpy()].copy()
    if not adata.var_names.is_unique:
        log.info(
            "names that several genes share get -1, -2, ...: %s",
            few(adata.var_names[adata.var_names.duplicated()].unique()),
        )
        adata.var_names_make_unique()
    return adata


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
