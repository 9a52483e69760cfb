"""What counts were behind the values: how deep every spot was sequenced, and what one molecule is worth there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._checks import is_sparse

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["AUTO", "Molecules", "read_depth", "read_molecules"]

AUTO = "auto"
ROW_BLOCK, COLUMN_BLOCK = 1024, 2048
SAMPLED = 200
"""Spots whose values are looked at to find out what they are."""
LARGEST_LOG = 50
WHOLE = 0.95
"""Part of values that must be whole multiples of the smallest one."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Molecules:
    """Values that are counts times a factor of the spot, with or without log1p."""

    unit: Float64
    """(n_spots,): what one molecule is worth, before the logarithm."""
    depth: Float64
    """(n_spots,): total count, in a unit of its own."""
    logged: bool


def read_depth(
    adata: "AnnData", rows: NDArray[np.bool_], *, layer: str | None, total_counts: str | None
) -> Float64 | None:
    """Return the depth of some spots, (n_rows,), in a unit of its own; None if it is not known or the same for all.

    Parameters
    ----------
    adata
        The section.
    rows
        (n_obs,): the spots.
    layer
        Where their values are, None for X.
    total_counts
        ``"auto"``: from the values, if these are counts, scaled or not; else the column of obs that has it; None: not
        at all.

    Raises
    ------
    KeyError
        If there is no such column.
    TypeError, ValueError
        If it does not hold positive numbers at these spots.
    """
    if total_counts is None:
        return None
    if total_counts != AUTO:
        return _read_column(adata, rows, total_counts)
    found = read_molecules(adata, rows, layer=layer)
    return None if found is None or np.ptp(found.depth) < 1e-3 * found.depth.max() else found.depth


def read_molecules(adata: "AnnData", rows: NDArray[np.bool_], *, layer: str | None) -> Molecules | None:
    """Find the counts behind the values of some spots; None if there are none.

    Counts that were scaled to a common total, with or without log1p, still tell: the smallest value of a spot is that
    of one molecule, and all others are whole multiples of it. Only the rows asked for are ever read.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    spots = np.flatnonzero(rows)
    undo = _find_scale(_values(matrix, spots[np.linspace(0, len(spots) - 1, min(len(spots), SAMPLED)).astype(int)]))
    if undo is None:
        return None
    smallest, total = np.full(len(spots), np.inf), np.zeros(len(spots))
    for at, values in _entries(matrix, spots):
        positive = values > 0
        where, found = at[positive], undo(values[positive])
        np.minimum.at(smallest, where, found)
        total += np.bincount(where, found, minlength=len(spots))
    seen = np.isfinite(smallest)
    # Counts as they are have 1 as their smallest value: their depth is their sum.
    unscaled = np.ptp(smallest[seen]) < 1e-3 * smallest[seen].max()
    smallest[~seen] = smallest[seen].max()
    depth = np.maximum(total, total[seen].min()) if unscaled else 1 / smallest
    return Molecules(smallest, depth, undo is np.expm1)


def _read_column(adata: "AnnData", rows: NDArray[np.bool_], key: str) -> Float64:
    if key not in adata.obs:
        msg = f"total_counts={key!r} not found: adata.obs has no such column; pass 'auto' or None"
        raise KeyError(msg)
    column = adata.obs[key]
    if column.dtype.kind not in "fiu":
        msg = f"adata.obs[{key!r}] must hold numbers, found dtype {column.dtype}"
        raise TypeError(msg)
    depth: Float64 = column.to_numpy(np.float64)[rows]
    bad = int((~(np.isfinite(depth) & (depth > 0))).sum())
    if bad:
        msg = f"adata.obs[{key!r}] must be positive at measured spots, and is not at {bad} of {len(depth)}"
        raise ValueError(msg)
    return depth


def _find_scale(sample: Iterator[Float64]) -> "np.ufunc | None":
    """Return what undoes the logarithm of values that are counts times a factor of the spot; None if they are not."""
    spots = [positive for values in sample if len(positive := values[values > 0]) > 1]
    for undo in (np.positive, np.expm1):
        if undo is np.expm1 and any(positive.max() > LARGEST_LOG for positive in spots):
            continue
        whole = [_whole(undo(positive)) for positive in spots]
        if whole and np.concatenate(whole).mean() > WHOLE:
            return undo
    return None


def _whole(values: Float64) -> NDArray[np.bool_]:
    multiple = values / values.min()
    return np.asarray(np.abs(multiple - np.round(multiple)) < 0.02 + 1e-4 * multiple)


def _values(matrix: Any, spots: NDArray[np.int64]) -> Iterator[Float64]:
    """Values of spots, one after the other."""
    block = _dense_or_csr(matrix[spots])
    for row in range(len(spots)):
        yield np.asarray(block[[row]].data if is_sparse(block) else block[row], dtype=np.float64)


def _entries(matrix: Any, spots: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Float64]]:
    """Yield values and to which of the spots they belong, block by block."""
    if getattr(matrix, "format", None) == "csc":
        place = np.full(matrix.shape[0], -1)
        place[spots] = np.arange(len(spots))
        for start in range(0, matrix.shape[1], COLUMN_BLOCK):
            block = matrix[:, start : start + COLUMN_BLOCK]
            at = place[block.indices]
            yield at[at >= 0], np.asarray(block.data[at >= 0], dtype=np.float64)
        return
    for start in range(0, len(spots), ROW_BLOCK):
        block = _dense_or_csr(matrix[spots[start : start + ROW_BLOCK]])
        if is_sparse(block):
            yield start + np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.data.astype(np.float64)
        else:
            yield start + np.repeat(np.arange(len(block)), block.shape[1]), block.ravel().astype(np.float64)


def _dense_or_csr(block: Any) -> Any:
    if hasattr(block, "compute"):
        block = block.compute()
    return block.tocsr() if is_sparse(block) else np.asarray(block)
