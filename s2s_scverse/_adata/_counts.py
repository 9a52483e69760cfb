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
SAMPLED = 200  # number of spots that are examined
MAX_LOG = 50  # largest value that can be a logarithm
MAX_DIVISOR = 20  # largest number of molecules in the smallest value of a spot
CONSISTENT = 0.95  # fraction of the spots whose values must be multiples of a unit
MIN_VALUES, MIN_SPOTS = 4, 10  # positive values of a spot, and such spots, needed to exclude chance

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Molecules:
    """Size factors of values that are counts times a factor of the spot, with or without log1p."""

    unit: Float64  # (n_spots,) value of one molecule, before the logarithm
    depth: Float64  # (n_spots,) total count, up to a common factor
    logged: bool


def find_depth(
    adata: AnnData, rows: NDArray[np.bool_], found: Molecules | None, total_counts: str | None
) -> Float64 | None:
    """Return the depth of the spots `rows` (n_obs,), in any unit, (n_rows,); None if unknown or the same for all.

    It is that of `read_molecules` if `total_counts` is ``"auto"``, else that column of obs, which must be positive.
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
        msg = f"adata.obs[{total_counts!r}] must be positive at measured spots, but is not at {bad} of {len(depth)}"
        raise ValueError(msg)
    return depth


def read_molecules(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None) -> Molecules | None:
    """Recover the size factors of the spots `rows` (n_obs,); None if values are not (scaled, logged) counts.

    All values of a spot are then multiples of the value of one molecule, which is the smallest value or, with few
    genes, a fraction of it.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    spots = np.flatnonzero(rows)
    some = np.linspace(0, len(spots) - 1, min(len(spots), SAMPLED)).round().astype(np.int64)
    sample = list(_by_spot(matrix, spots[some]))
    if any((values < 0).any() or np.isinf(values).any() for values in sample):
        return None
    sample = [values[values > 0] for values in sample]
    informative = [values for values in sample if len(values) >= MIN_VALUES]
    if len(informative) < MIN_SPOTS:
        return None
    if all(np.array_equal(values, np.round(values)) for values in sample):
        total = np.zeros(len(spots))
        for at, values in _positive(matrix, spots):
            total += np.bincount(at, values, minlength=len(spots))
        return Molecules(np.ones(len(spots)), np.maximum(total, total[total > 0].min()), logged=False)
    for undo in (np.positive, np.expm1):
        if undo is np.expm1 and any(values.max(initial=0) > MAX_LOG for values in sample):
            return None
        divisors = np.array([_divisor(undo(values)) for values in informative])
        if (divisors > 0).mean() < CONSISTENT:
            continue
        unit = np.full(len(spots), np.inf)
        if (divisors == 1).mean() >= CONSISTENT:
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
    """Return the smallest number of molecules in the smallest value for which all values are counts; 0 if none is."""
    multiple = values[:, None] * np.arange(1, MAX_DIVISOR + 1) / values.min()
    whole = np.all(np.abs(multiple - np.round(multiple)) < 0.01 + 1e-5 * multiple, axis=0)
    return int(whole.argmax()) + 1 if whole.any() else 0


def _by_spot(matrix: Any, spots: NDArray[np.int64]) -> Iterator[Float64]:
    """Yield the non-zero values of every spot."""
    for start in range(0, len(spots), SPOT_BLOCK):
        block = sparse.csr_array(_loaded(matrix[spots[start : start + SPOT_BLOCK]]))
        yield from np.split(block.data.astype(np.float64), block.indptr[1:-1])


def _positive(matrix: Any, spots: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.integer[Any]], Float64]]:
    """Yield spots and positive values, block by block."""
    if getattr(getattr(matrix, "_meta", matrix), "format", None) == "csr":
        starts = range(0, len(spots), ROW_BLOCK)
        blocks = ((start, _loaded(matrix[spots[start : start + ROW_BLOCK]])) for start in starts)
    else:
        starts = range(0, matrix.shape[1], COLUMN_BLOCK)
        blocks = ((0, _loaded(matrix[:, start : start + COLUMN_BLOCK])[spots]) for start in starts)
    for first, block in blocks:
        entries = sparse.coo_array(block)
        positive = entries.data > 0
        yield first + entries.coords[0][positive], entries.data[positive].astype(np.float64)


def _loaded(block: Any) -> Any:
    """Return a block in memory: CSR, or dense as float64, since scipy.sparse does not support float16."""
    block = block.compute() if hasattr(block, "compute") else block
    return block.tocsr() if is_sparse(block) else np.asarray(block, np.float64)
