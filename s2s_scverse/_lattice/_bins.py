"""Binning of cells and beads."""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._infer import lattice_from_coordinates, residual
from ._kinds import KINDS
from ._lattice import Lattice

__all__ = ["auto_bin_size", "bin_lattice"]

CELLS_PER_BIN = 4  # mean number of cells per occupied bin for `bin_size="auto"`
SNAP = 0.02  # relative tolerance within which a bin size is rounded to a multiple of the pitch
UNEVEN = 5  # positions along a bin from which unequal numbers per bin are negligible
MAX_RESIDUAL = 0.1  # in pitches, of cells on a lattice
MIN_POSITIONS = 16  # distinct positions needed to detect a lattice of cells


def bin_lattice(
    coordinates: NDArray[np.float64], bin_size: float, *, shape: Literal["square", "hex"] = "square", min_cells: int = 1
) -> tuple[Lattice, NDArray[np.int64]]:
    """Assign cells or beads to bins.

    If the cells lie on a lattice of the same shape (e.g. small bins of Visium HD or Stereo-seq), bins are aligned with
    it and start half a pitch before its first position, and a `bin_size` within 2 % of a multiple of the pitch is set
    to that multiple. Otherwise square bins start at the smallest coordinates, and hexagonal bins are centred there.

    Returns the lattice of the bins with at least `min_cells` cells, in row-major order, and the bin of each cell,
    (n_cells,), -1 if none. Raises a ValueError if bins are far too small or too large, or all have fewer cells.
    """
    grid = _bin_grid(coordinates, bin_size, shape)
    occupied, bins, n_cells = np.unique(grid.nearest(coordinates), axis=0, return_inverse=True, return_counts=True)
    if len(occupied) == 1 < len(coordinates):
        width, height = np.ptp(coordinates, axis=0)
        msg = (
            f"bin_size={bin_size:g} puts all {len(coordinates)} cells into one bin; the section is {width:g} x "
            f"{height:g} in the units of the coordinates: choose a smaller size"
        )
        raise ValueError(msg)
    enough = n_cells >= min_cells
    if not enough.any():
        msg = (
            f"no bin of size {bin_size:g} holds min_cells={min_cells} cells; the largest count is {n_cells.max()}: "
            "choose a larger bin_size or a smaller min_cells"
        )
        raise ValueError(msg)
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    lattice = grid.with_index(occupied[enough])
    try:
        lattice.check_extent()
    except ValueError:
        height, width = np.ptp(lattice.index, axis=0) + 1
        msg = (
            f"bin_size={bin_size:g} cuts the section into {height} x {width} bins, of which {len(lattice)} hold cells: "
            f"nearly all are empty; {_advice(coordinates)}"
        )
        raise ValueError(msg) from None
    return lattice, number[bins.reshape(-1)]


def _bin_grid(coordinates: NDArray[np.float64], bin_size: float, shape: Literal["square", "hex"]) -> Lattice:
    """Return the lattice of bins, with a placeholder for its sites."""
    cells = _cell_lattice(coordinates)
    if cells is None or cells.kind.name != shape:
        basis, start = bin_size * np.asarray(KINDS[shape].unit_basis), coordinates.min(axis=0)
        origin = start + bin_size / 2 if shape == "square" else start
        return Lattice(KINDS[shape], np.zeros((1, 2), np.int64), basis, origin)
    steps = bin_size / cells.pitch
    if round(steps) and abs(steps / round(steps) - 1) < SNAP:
        steps = round(steps)
    elif shape == "square" and 1 < steps < UNEVEN:
        warnings.warn(
            f"bin_size={bin_size:g} is no multiple of {cells.pitch:g}, the distance of neighbouring positions, so "
            f"bins hold unequal numbers of them; pass bin_size={max(2, round(steps)) * cells.pitch:g}",
            UserWarning,
            stacklevel=4,
        )
    # The first position is the first in a square bin, and the centre of a hexagonal one.
    first = cells.lower + ((steps - 1) / 2 if shape == "square" else 0)
    return Lattice(cells.kind, np.zeros((1, 2), np.int64), steps * cells.basis, cells.origin + first @ cells.basis)


def _cell_lattice(coordinates: NDArray[np.float64]) -> Lattice | None:
    """Return the lattice on which the cells lie, or None."""
    unique = np.unique(coordinates, axis=0)
    if len(unique) < MIN_POSITIONS:
        return None
    distance = np.asarray(cKDTree(unique).query(unique[:: len(unique) // 5000 + 1], k=2)[0])[:, 1]
    low, high = np.quantile(distance, [0.05, 0.75])
    if high > 1.3 * low:
        return None
    try:
        lattice = lattice_from_coordinates(unique)
    except ValueError:
        return None
    return lattice if residual(lattice, unique) <= MAX_RESIDUAL else None


def _advice(coordinates: NDArray[np.float64]) -> str:
    """Return advice for bins that are nearly all empty."""
    low, high = np.quantile(coordinates, [0.01, 0.99], axis=0)
    far = (np.abs(coordinates - (low + high) / 2) > 2 * (high - low).max()).any(axis=1)
    if far.any():
        x, y = coordinates[far][0]
        return f"{far.sum()} of {len(far)} cells lie far from the others (for example at {x:g}, {y:g}): drop them"
    return f"choose a larger size, or 'auto' for bins of {CELLS_PER_BIN} cells"


def auto_bin_size(sections: Sequence[NDArray[np.float64]]) -> float:
    """Return the size of square bins, to two digits, at which occupied bins hold 4 cells on average.

    Sections are coordinates, (n_cells, 2) each, of at least 8 cells that do not lie on a line.
    """
    n_cells = sum(map(len, sections))
    extents = np.array([np.ptp(section, axis=0) for section in sections])
    if n_cells < 2 * CELLS_PER_BIN or not (extents > 0).all(axis=1).any():
        msg = f"bin_size='auto' needs at least {2 * CELLS_PER_BIN} cells that spread in both directions; pass a number"
        raise ValueError(msg)

    def per_bin(size: float) -> float:
        return n_cells / sum(len(np.unique(np.floor((xy - xy.min(axis=0)) / size), axis=0)) for xy in sections)

    high = float(extents.max())
    low = high / n_cells
    while high / low > 1.001:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if per_bin(middle) > CELLS_PER_BIN else (middle, high)
    return float(f"{high:.2g}")
