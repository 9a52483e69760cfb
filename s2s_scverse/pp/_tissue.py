"""Which spots are tissue, which hold counts, and how deep they were sequenced."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_molecules
from .._checks import check_numeric, few, is_sparse, named_layers

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["find_empty", "in_tissue", "read_depth", "read_detected", "zeros_tell"]

TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
COUNTS = "counts"
ROW_BLOCK = 4096
FEWEST_GENES = 3
"""Genes seen in most spots, with fewer of which a spot without counts may be a measurement."""


def in_tissue(adata: "AnnData") -> NDArray[np.bool_]:
    """Return which spots lie on tissue, (n_obs,): all but those whose `in_tissue` is 0 (number, truth value or text).

    Raises
    ------
    ValueError
        If the column holds anything else, or no spot lies on tissue.
    """
    if _keys.IN_TISSUE not in adata.obs:
        return np.ones(adata.n_obs, dtype=bool)
    column = adata.obs[_keys.IN_TISSUE]
    missing = column.isna().to_numpy(dtype=bool)
    texts = column.astype(str).str.strip().str.lower()
    values = texts.map(TRUTH)
    unknown = values.isna().to_numpy(dtype=bool) & ~missing
    if unknown.any():
        msg = (
            f"adata.obs[{_keys.IN_TISSUE!r}] must hold 1 (tissue) or 0 (background), found "
            f"{few(column[unknown].unique())}; correct or drop the column"
        )
        raise ValueError(msg)
    inside: NDArray[np.bool_] = missing | values.isin([True]).to_numpy(dtype=bool)
    if not inside.any():
        msg = f"no spot lies on tissue: adata.obs[{_keys.IN_TISSUE!r}] is 0 for all {adata.n_obs}; correct or drop it"
        raise ValueError(msg)
    return inside


def find_empty(adata: "AnnData", rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of some spots hold no counts, (n_obs,).

    These are zero throughout in X or ``layers["counts"]`` (in the first other layer if both are absent or zero
    everywhere), unless a positive ``obs["total_counts"]`` says that only genes were left out, or so few genes are seen
    in the other spots that zeros are measurements.

    Parameters
    ----------
    adata
        Spots in memory.
    rows
        (n_obs,): the spots to look at, others are never empty.
    """
    if adata.X is not None:
        check_numeric(adata.X, "adata.X")
    named = [adata.X, adata.layers.get(COUNTS)]
    others = [layer for key, layer in named_layers(adata).items() if key != COUNTS]
    masks = [~_any_value(matrix) & rows for matrix in named if matrix is not None]
    masks = [mask for mask in masks if not np.array_equal(mask, rows)] or [
        ~_any_value(each) & rows for each in others[:1]
    ]
    empty = np.logical_or.reduce(masks) if masks else rows & bool(named[0] is not None or named[1] is not None)
    total = _total_counts(adata)
    empty = empty if total is None else empty & ~(total > 0)
    shallow = (rows & ~empty).any() and empty.any() and zeros_tell(adata, rows & ~empty)
    return np.zeros_like(empty) if shallow else empty


def zeros_tell(adata: "AnnData", rows: NDArray[np.bool_]) -> bool:
    """Whether so few genes are seen in some spots that others may show none by chance."""
    detected = read_detected(adata, rows)
    return detected is not None and bool(np.median(detected) < FEWEST_GENES)


def read_depth(adata: "AnnData", rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return how deep some spots were sequenced, (n_rows,), in a unit of its own; None if nothing tells.

    From the counts of a layer, X or ``layers["counts"]``, from ``obs["total_counts"]``, or from the size of one
    molecule in normalised values.
    """
    sources = [layer] if layer is not None else [key for key in (COUNTS,) if key in adata.layers] + [None]
    matrices = {key: adata.X if key is None else adata.layers[key] for key in sources}
    for matrix in matrices.values():
        if matrix is not None and _are_counts(matrix, np.flatnonzero(rows)):
            return np.concatenate([np.asarray(block.sum(axis=1)).ravel() for block in _blocks(matrix, rows)])
    total = _total_counts(adata)
    if (
        total is not None
        and layer is None
        and (total[rows] >= 0).all()
        and np.ptp(total[rows]) > 0.01 * total[rows].max()
    ):
        return total[rows]
    for key, matrix in matrices.items():
        found = None if matrix is None else read_molecules(adata, rows, layer=key)
        if found is not None:
            return found.depth
    return None


def read_detected(adata: "AnnData", rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return how many genes were seen in some spots, (n_rows,); None where zeros do not tell (scaled values)."""
    key = layer if layer is not None else COUNTS if COUNTS in adata.layers else None
    matrix = adata.X if key is None else adata.layers[key]
    if matrix is None:
        return None
    found, negative = [], False
    for block in _blocks(matrix, rows):
        stored = block.data if is_sparse(block) else block
        negative |= bool((stored < 0).any())
        found.append(np.asarray((block > 0).sum(axis=1)).ravel())
    return None if negative else np.concatenate(found).astype(np.float64)


def _total_counts(adata: "AnnData") -> NDArray[np.float64] | None:
    column = adata.obs.get("total_counts")
    return column.to_numpy(np.float64, na_value=np.nan) if column is not None and column.dtype.kind in "fiu" else None


def _any_value(matrix: Any) -> NDArray[np.bool_]:
    """Return which rows of a matrix in memory hold a value that is not 0, (n_rows,); NaN is a value."""
    if not is_sparse(matrix):
        return np.asarray(np.any(matrix != 0, axis=1))
    matrix = matrix.tocsr() if matrix.format not in ("csr", "csc") else matrix
    at = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) if matrix.format == "csr" else matrix.indices
    return np.asarray(np.bincount(at[matrix.data != 0], minlength=matrix.shape[0]) > 0)


def _are_counts(matrix: Any, rows: NDArray[np.int64]) -> bool:
    """Whether a sample of rows holds whole numbers, none negative, and some above 0."""
    sample = _loaded(matrix[rows[:: len(rows) // 200 + 1]])
    values = sample.data if is_sparse(sample) else sample
    return bool((values >= 0).all() and (values == np.round(values)).all() and (values > 0).any())


def _blocks(matrix: Any, rows: NDArray[np.bool_]) -> Any:
    """Yield rows of a matrix of any storage, block by block."""
    numbers = np.flatnonzero(rows)
    for start in range(0, len(numbers), ROW_BLOCK):
        yield _loaded(matrix[numbers[start : start + ROW_BLOCK]])


def _loaded(block: Any) -> Any:
    block = block.compute() if hasattr(block, "compute") else block
    return block if is_sparse(block) else np.asarray(block)
