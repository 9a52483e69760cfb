"""Recover per-spot size factors from (log-)normalised counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .._checks import is_sparse

__all__ = ["Molecules", "find_depth", "read_molecules"]

ROW_BLOCK, COLUMN_BLOCK, SPOT_BLOCK = 512, 512, 64
SAMPLED = 200
"""Number of spots whose values are examined."""
LARGEST_LOG = 50
LARGEST_DIVISOR = 20
"""Largest number of molecules behind the smallest value of a spot."""
MOST = 0.95
"""Fraction of the spots that must be alike."""
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


def find_depth(
    adata: AnnData, rows: NDArray[np.bool_], found: Molecules | None, total_counts: str | None
) -> Float64 | None:
    """Depth of the spots `rows` (n_obs,), in any unit, (n_rows,); None if it is not known or the same for all.

    From what `read_molecules` found if `total_counts` is ``"auto"``, else from that column of obs, which must be there
    and positive at these spots.
    """
    if total_counts == "auto":
        return None if found is None or np.ptp(found.depth) < 1e-3 * found.depth.max() else found.depth
    if total_counts is None:
        return None
    if total_counts not in adata.obs:
        msg = f"total_counts={total_counts!r} not found: adata.obs has no such column; pass 'auto' or None"
        raise KeyError(msg)
    column = adata.obs[total_counts]
    if column.dtype.kind not in "fiu":
        msg = f"adata.obs[{total_counts!r}] must hold numbers, found dtype {column.dtype}"
        raise TypeError(msg)
    depth: Float64 = column.to_numpy(np.float64)[rows]
    bad = int((~(np.isfinite(depth) & (depth > 0))).sum())
    if bad:
        msg = f"adata.obs[{total_counts!r}] must be positive at measured spots, and is not at {bad} of {len(depth)}"
        raise ValueError(msg)
    return depth


def read_molecules(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None) -> Molecules | None:
    """Find the counts behind the values of the spots `rows` (n_obs,); None if there are none.

    In counts scaled to a common total, with or without log1p, all values of a spot are whole multiples of the value of
    one molecule. Mostly that is the smallest value; with few genes it may be a fraction of it.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    spots = np.flatnonzero(rows)
    some = np.linspace(0, len(spots) - 1, min(len(spots), SAMPLED)).round().astype(np.int64)
    sample = list(_by_spot(matrix, spots[some]))
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
        unit = np.full(len(spots), np.inf)
        if (divisors == 1).mean() >= MOST:
            for at, values in _positive(matrix, spots):
                np.minimum.at(unit, at, undo(values))
        else:
            for spot, values in enumerate(_by_spot(matrix, spots)):
                counted = undo(values[values > 0])
                divisor = _divisor(counted) if len(counted) else 0
                unit[spot] = counted.min() / divisor if divisor else np.inf
        unit[~np.isfinite(unit)] = unit[np.isfinite(unit)].max()
        return Molecules(unit, 1 / unit, undo is np.expm1)
    return None


def _divisor(values: Float64) -> int:
    """Smallest number of molecules in the smallest value with which all values are whole numbers of them; or 0."""
    multiple = values[:, None] * np.arange(1, LARGEST_DIVISOR + 1) / values.min()
    whole = np.all(np.abs(multiple - np.round(multiple)) < 0.01 + 1e-5 * multiple, axis=0)
    return int(whole.argmax()) + 1 if whole.any() else 0


def _by_spot(matrix: Any, spots: NDArray[np.int64]) -> Iterator[Float64]:
    """Yield the values of every spot that are not 0."""
    for start in range(0, len(spots), SPOT_BLOCK):
        block = sparse.csr_array(_loaded(matrix[spots[start : start + SPOT_BLOCK]]))
        yield from np.split(block.data.astype(np.float64), block.indptr[1:-1])


def _positive(matrix: Any, spots: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.integer[Any]], Float64]]:
    """Yield to which of the spots positive values belong, and these values, block by block."""
    if getattr(getattr(matrix, "_meta", matrix), "format", None) == "csr":
        starts = range(0, len(spots), ROW_BLOCK)
        blocks = ((start, _loaded(matrix[spots[start : start + ROW_BLOCK]])) for start in starts)
    else:
        # Matrices with many genes may be larger than memory.
        starts = range(0, matrix.shape[1], COLUMN_BLOCK)
        blocks = ((0, _loaded(matrix[:, start : start + COLUMN_BLOCK])[spots]) for start in starts)
    for first, block in blocks:
        entries = sparse.coo_array(block)
        positive = entries.data > 0
        yield first + entries.coords[0][positive], entries.data[positive].astype(np.float64)


def _loaded(block: Any) -> Any:
    """Read a lazy block: CSR, or dense as float64, since scipy.sparse takes neither float16 nor foreign byte orders."""
    block = block.compute() if hasattr(block, "compute") else block
    return block.tocsr() if is_sparse(block) else np.asarray(block, np.float64)
