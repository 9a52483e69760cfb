"""Read sections from the files that people have."""

import logging
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._space_ranger import find_matrix, find_outputs, read_10x, reading

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_genes", "read_section"]

log = logging.getLogger(__name__)

FORMATS: Final = (
    "an .h5ad file, a .zarr folder (AnnData or SpatialData), a 10x .h5 matrix with its positions, or a folder of Space "
    "Ranger's output"
)


def read_section(
    path: Path, *, positions: Path | None = None, table: str = "table", layer: str | None = None
) -> "AnnData":
    """Read a section of one of the `FORMATS`, with `layer` as X; positions are searched for beside a 10x matrix."""
    from .._checks import check_layer

    if not path.exists():
        msg = f"{path} does not exist; expected {FORMATS}"
        raise FileNotFoundError(msg)
    matrix = find_matrix(path)
    if matrix is not None:
        adata = read_10x(matrix, positions)
    elif path.is_dir():
        adata = _read_zarr(path, table)
    elif path.suffix == ".h5ad":
        import anndata

        with reading(path):
            adata = anndata.read_h5ad(path)
    else:
        msg = f"{path} is of no known kind; expected {FORMATS}"
        raise ValueError(msg)
    if layer is not None:
        check_layer(adata, layer)
        adata.X = adata.layers[layer].copy()
    if adata.X is None:
        msg = f"{path} has no X; pass --layer"
        raise ValueError(msg)
    log.info("read %s: %d observations, %d genes", path, adata.n_obs, adata.n_vars)
    return adata


def read_genes(genes: str | None) -> list[str] | None:
    """Return gene names from a list separated by commas, or from a text file if there is one of that name."""
    if genes is None:
        return None
    names = genes.split(",")
    if isfile(genes):  # noqa: PTH113 - Path.is_file fails for lists that are longer than the name of a file may be
        with reading(Path(genes)):
            names = Path(genes).read_text("utf-8-sig").split("\n")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        msg = f"--genes names no gene, found {genes!r}"
        raise ValueError(msg)
    return names


def _read_zarr(path: Path, table: str) -> "AnnData":
    import anndata
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        parts = set(group.group_keys())
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        msg = f"the folder {path} is neither a zarr store nor Space Ranger's output; expected {FORMATS}"
        if found := find_outputs(path):
            msg = f"{path} holds Space Ranger's output under other names or further down; pass one of: {found}"
        raise ValueError(msg) from error
    with reading(path):
        _check_chunks(group)
    if group.attrs.get("encoding-type") == "anndata":
        with reading(path):
            return anndata.read_zarr(path)
    if not parts & {"table", "tables"}:
        msg = f"the zarr store {path} holds neither an AnnData nor a SpatialData with a table"
        raise ValueError(msg)
    from .. import pp
    from .._spatialdata import import_spatialdata

    spatialdata = import_spatialdata()
    with reading(path):
        sdata = spatialdata.read_zarr(path)
    return pp.from_spatialdata(sdata, table=table)


def _check_chunks(group: Any) -> None:
    """Refuse sparse matrices with missing chunks, as after an interrupted copy: zarr reads them as zeros."""
    for name, array in group.members(max_depth=None):
        if Path(name).name == "data" and array.nchunks_initialized < array.nchunks:
            missing = array.nchunks - array.nchunks_initialized
            msg = f"{missing} of {array.nchunks} chunks of {name} are missing; copy the folder again"
            raise ValueError(msg)
