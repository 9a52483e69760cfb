"""Recover per-spot size factors from (log-)normalised counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._checks import is_sparse

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["AUTO", "Molecules", "find_depth", "read_molecules"]

AUTO = "auto"
ROW_BLOCK, COLUMN_BLOCK, SPOT_BLOCK = 512, 512, 64
SAMPLED = 200
"""Number of spots whose values are examined."""
LARGEST_LOG = 50
LARGEST_DIVISOR = 20
"""Largest number of molecules behind the smallest value of a spot."""
MOST = 0.95
"""Part of the spots that must be alike."""
TELLING, FEWEST = 4, 10
"""Positive values of a spot, and such spots, with fewer of which values may look like counts by chance."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Molecules:
    """Values that are counts times a factor of the spot, with or without log1p."""

    unit: Float64
    """(n_spots,): value of one molecule, before the logarithm."""
    depth: Float64
    """(n_spots,): total count, up to a common factor."""
    logged: bool

    def at(self, spots: NDArray[np.int64]) -> "Molecules":
        """Select or reorder spots."""
        return Molecules(self.unit[spots], self.depth[spots], self.logged)


def find_depth(
    adata: "AnnData", rows: NDArray[np.bool_], found: Molecules | None, total_counts: str | None
) -> Float64 | None:
    """Return the depth of some spots, (n_rows,), in a unit of its own; None if it is not known or the same for all.

    Parameters
    ----------
    adata
        The section.
    rows
        (n_obs,): the spots.
    found
        From `read_molecules`.
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
    return None if found is None or np.ptp(found.depth) < 1e-3 * found.depth.max() else found.depth


def read_molecules(adata: "AnnData", rows: NDArray[np.bool_], *, layer: str | None) -> Molecules | None:
    """Find the counts behind the values of some spots; None if there are none.

    Counts that were scaled to a common total, with or without log1p, still tell: all values of a spot are whole
    multiples of one, that of one molecule. Mostly that is the smallest; where genes are few, it may be a fraction of
    it. Only the rows asked for are ever read.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    spots = np.flatnonzero(rows)
    sample = list(_by_spot(matrix, spots[_some(len(spots), SAMPLED)]))
    if any((values < 0).any() or np.isinf(values).any() for values in sample):
        return None
    sample = [values[values > 0] for values in sample]
    telling = [values for values in sample if len(values) >= TELLING]
    if len(telling) < FEWEST:
        return None
    if all(np.array_equal(values, np.round(values)) for values in sample):
        total = np.zeros(len(spots))
        for at, values in _positive(matrix, spots):
            total += np.bincount(at, values, minlength=len(spots))
        return Molecules(np.ones(len(spots)), np.maximum(total, total[total > 0].min()), logged=False)
    for undo in (np.positive, np.expm1):
        if undo is np.expm1 and any(values.max(initial=0) > LARGEST_LOG for values in sample):
            return None
        divisors = np.array([_divisor(undo(values)) for values in telling])
        if (divisors > 0).mean() < MOST:
            continue
        if (divisors == 1).mean() >= MOST:
            unit = np.full(len(spots), np.inf)
            for at, values in _positive(matrix, spots):
                np.minimum.at(unit, at, undo(values))
        else:
            unit = np.array([_unit(undo(values[values > 0])) for values in _by_spot(matrix, spots)])
        unit[~np.isfinite(unit)] = unit[np.isfinite(unit)].max()
        return Molecules(unit, 1 / unit, undo is np.expm1)
    return None


def _some(count: int, wanted: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64)


def _divisor(values: Float64) -> int:
    """Smallest number that the smallest value is to be divided by to make all of them whole multiples; 0 if none."""
    multiple = values[:, None] * np.arange(1, LARGEST_DIVISOR + 1) / values.min()
    whole = np.all(np.abs(multiple - np.round(multiple)) < 0.01 + 1e-5 * multiple, axis=0)
    return int(whole.argmax()) + 1 if whole.any() else 0


def _unit(values: Float64) -> float:
    divisor = _divisor(values) if len(values) else 0
    return float(values.min() / divisor) if divisor else np.inf


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


def _by_spot(matrix: Any, spots: NDArray[np.int64]) -> Iterator[Float64]:
    """Values of spots, one after the other."""
    for start in range(0, len(spots), SPOT_BLOCK):
        block = _dense_or_csr(matrix[spots[start : start + SPOT_BLOCK]])
        for row in range(block.shape[0]):
            values = block.data[block.indptr[row] : block.indptr[row + 1]] if is_sparse(block) else block[row]
            yield np.asarray(values, dtype=np.float64)


def _positive(matrix: Any, spots: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Float64]]:
    """Yield positive values and to which of the spots they belong; NaN is not positive."""
    for at, values in _entries(matrix, spots):
        positive = values > 0
        yield at[positive], values[positive]


def _entries(matrix: Any, spots: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Float64]]:
    """Yield values and to which of the spots they belong, block by block."""
    if getattr(getattr(matrix, "_meta", matrix), "format", None) == "csr":
        for start in range(0, len(spots), ROW_BLOCK):
            block = _dense_or_csr(matrix[spots[start : start + ROW_BLOCK]])
            yield start + np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.data.astype(np.float64)
        return
    # Matrices with many genes may be larger than memory.
    for start in range(0, matrix.shape[1], COLUMN_BLOCK):
        block = _dense_or_csr(matrix[:, start : start + COLUMN_BLOCK])[spots]
        if is_sparse(block):
            yield np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.data.astype(np.float64)
        else:
            yield np.repeat(np.arange(len(block)), block.shape[1]), block.ravel().astype(np.float64)


def _dense_or_csr(block: Any) -> Any:
    if hasattr(block, "compute"):
        block = block.compute()
    return block.tocsr() if is_sparse(block) else np.asarray(block)
