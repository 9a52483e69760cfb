"""Spots on tissue, spots with counts, and sequencing depth."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_molecules
from .._checks import are_counts, check_numeric, few, is_sparse, named_layers, stored_values

__all__ = ["find_empty", "in_tissue", "read_depth", "read_detected", "zeros_tell"]

TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
COUNTS = "counts"
ROW_BLOCK = 4096
FEWEST_GENES = 3  # median number of detected genes below which a spot without counts may be a measurement


def in_tissue(adata: AnnData) -> NDArray[np.bool_]:
    """Return which spots lie on tissue, (n_obs,): those whose `in_tissue` is not 0 (number, boolean or text)."""
    if _keys.IN_TISSUE not in adata.obs:
        return np.ones(adata.n_obs, dtype=bool)
    column = adata.obs[_keys.IN_TISSUE]
    values = column.astype(str).str.strip().str.lower().map(TRUTH)
    unknown = values.isna() & column.notna()
    if unknown.any():
        msg = (
            f"adata.obs[{_keys.IN_TISSUE!r}] must hold 1 (tissue) or 0 (background), found "
            f"{few(column[unknown].unique())}; correct or drop the column"
        )
        raise ValueError(msg)
    inside: NDArray[np.bool_] = ~values.isin([False]).to_numpy(dtype=bool)
    if not inside.any():
        msg = f"no spot lies on tissue: adata.obs[{_keys.IN_TISSUE!r}] is 0 for all {adata.n_obs}; correct or drop it"
        raise ValueError(msg)
    return inside


def find_empty(adata: AnnData, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the spots `rows` (n_obs,), in memory, have no counts, (n_obs,).

    They are 0 throughout in X or ``layers["counts"]`` (if both are absent or 0 everywhere: in the first other layer).
    No spot is empty if ``obs["total_counts"]`` is positive, or if zeros are likely since few genes are detected.
    """
    if adata.X is not None:
        check_numeric(adata.X, "adata.X")
    raw = [matrix for matrix in (adata.X, adata.layers.get(COUNTS)) if matrix is not None]
    others = [layer for key, layer in named_layers(adata).items() if key != COUNTS]
    masks = [mask for mask in (_zero_rows(matrix) & rows for matrix in raw) if not np.array_equal(mask, rows)]
    masks = masks or [_zero_rows(layer) & rows for layer in others[:1]]
    empty = np.logical_or.reduce(masks) if masks else rows & bool(raw)
    total = _total_counts(adata)
    empty = empty if total is None else empty & ~(total > 0)
    shallow = (rows & ~empty).any() and empty.any() and zeros_tell(adata, rows & ~empty)
    return np.zeros_like(empty) if shallow else empty


def zeros_tell(adata: AnnData, rows: NDArray[np.bool_]) -> bool:
    """Whether so few genes are detected in the spots `rows` that a spot may have none by chance."""
    detected = read_detected(adata, rows)
    return detected is not None and bool(np.median(detected) < FEWEST_GENES)


def read_depth(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return the depth of the spots `rows` in any unit, (n_rows,); None if it is unknown.

    It is read from counts in the layer, X or ``layers["counts"]``, else from ``obs["total_counts"]``, else recovered
    from normalised values.
    """
    sources = [layer] if layer is not None else [key for key in (COUNTS,) if key in adata.layers] + [None]
    matrices = {key: adata.X if key is None else adata.layers[key] for key in sources}
    matrices = {key: matrix for key, matrix in matrices.items() if matrix is not None}
    for matrix in matrices.values():
        if _are_counts(matrix, np.flatnonzero(rows)):
            return np.concatenate([np.asarray(block.sum(axis=1)).ravel() for block in _blocks(matrix, rows)])
    total = _total_counts(adata) if layer is None else None
    if total is not None and (total[rows] >= 0).all() and np.ptp(total[rows]) > 0.01 * total[rows].max():
        return total[rows]
    for key in matrices:
        molecules = read_molecules(adata, rows, layer=key)
        if molecules is not None:
            return molecules.depth
    return None


def read_detected(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return the number of genes detected in the spots `rows`, (n_rows,); None if values are negative."""
    key = layer if layer is not None else COUNTS if COUNTS in adata.layers else None
    matrix = adata.X if key is None else adata.layers[key]
    if matrix is None:
        return None
    detected = []
    for block in _blocks(matrix, rows):
        if (stored_values(block) < 0).any():
            return None
        detected.append(np.asarray((block > 0).sum(axis=1)).ravel())
    return np.concatenate(detected).astype(np.float64)


def _total_counts(adata: AnnData) -> NDArray[np.float64] | None:
    column = adata.obs.get("total_counts")
    return column.to_numpy(np.float64, na_value=np.nan) if column is not None and column.dtype.kind in "fiu" else None


def _zero_rows(matrix: Any) -> NDArray[np.bool_]:
    """Return which rows of a matrix in memory are 0 throughout, (n_rows,)."""
    return np.asarray(matrix.astype(bool).sum(axis=1) == 0).ravel()


def _are_counts(matrix: Any, rows: NDArray[np.int64]) -> bool:
    """Whether a sample of rows holds counts, some above 0."""
    sample = _loaded(matrix[rows[:: len(rows) // 200 + 1]])
    return are_counts(sample) and bool((stored_values(sample) > 0).any())


def _blocks(matrix: Any, rows: NDArray[np.bool_]) -> Iterator[Any]:
    """Yield rows of a matrix of any storage, block by block."""
    numbers = np.flatnonzero(rows)
    for start in range(0, len(numbers), ROW_BLOCK):
        yield _loaded(matrix[numbers[start : start + ROW_BLOCK]])


def _loaded(block: Any) -> Any:
    block = block.compute() if hasattr(block, "compute") else block
    return block if is_sparse(block) else np.asarray(block)
