"""Bins for cells and beads."""

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

CELLS_PER_BIN = 4
"""Mean number of cells per bin that `auto_bin_size` aims at."""
SNAP = 0.02
"""Relative difference up to which a bin size is taken for a multiple of the pitch."""
UNEVEN = 5
"""Number of places along a bin below which bins of unequal numbers of places are warned of."""
MAX_PLACE_RESIDUAL, FEWEST_PLACES = 0.1, 16
"""Largest residual, in pitches, and smallest number of places of a lattice on which cells lie."""


def bin_lattice(
    coordinates: NDArray[np.float64], bin_size: float, *, shape: Literal["square", "hex"] = "square", min_cells: int = 1
) -> tuple[Lattice, NDArray[np.int64]]:
    """Lay bins over cells or beads.

    Where these lie on a lattice of the same shape (small bins of Visium HD or Stereo-seq, spots), bins follow its axes
    and begin half a pitch before its first position, and a `bin_size` within 2 % of a multiple of the pitch becomes
    that multiple: the centre of a bin is the centre of the positions in it. Else square bins start at the smallest
    coordinates, and hexagonal ones are centred there.

    Returns the lattice of the bins with `min_cells` cells, in row-major order, and the bin of each cell, (n_cells,), -1
    for none. Refuses bins that are absurdly small, one that holds all cells, and `min_cells` that none has.
    """
    across = np.ptp(coordinates, axis=0).max() / bin_size
    if across > 2**31:
        msg = (
            f"bin_size={bin_size} cuts the section into {across:.3g} bins a side; "
            "expected a size in the units of the coordinates"
        )
        raise ValueError(msg)
    grid = _bin_grid(coordinates, bin_size, shape)
    found, bins, n_cells = np.unique(grid.nearest(coordinates), axis=0, return_inverse=True, return_counts=True)
    if len(found) == 1 < len(coordinates):
        width, height = np.ptp(coordinates, axis=0)
        msg = (
            f"bin_size={bin_size:g} puts all {len(coordinates)} cells into one bin; the section is {width:g} x "
            f"{height:g} in the units of the coordinates: choose a smaller size"
        )
        raise ValueError(msg)
    enough = n_cells >= min_cells
    if not enough.any():
        msg = (
            f"no bin of size {bin_size:g} holds min_cells={min_cells} cells; the fullest has {n_cells.max()}: choose a "
            "larger bin_size or a smaller min_cells"
        )
        raise ValueError(msg)
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    lattice = grid.with_index(found[enough])
    try:
        lattice.check_extent()
    except ValueError:
        height, width = np.ptp(lattice.index, axis=0) + 1
        msg = (
            f"bin_size={bin_size:g} cuts the section into {height} x {width} bins, of which {len(lattice)} hold cells: "
            f"nearly all would be empty; {_advice(coordinates)}"
        )
        raise ValueError(msg) from None
    return lattice, number[bins.reshape(-1)]


def _bin_grid(coordinates: NDArray[np.float64], bin_size: float, shape: Literal["square", "hex"]) -> Lattice:
    """Return the lattice of bins, without sites."""
    places = _places(coordinates)
    if places is None or places.kind.name != shape:
        basis, start = bin_size * np.asarray(KINDS[shape].unit_basis), coordinates.min(axis=0)
        origin = start + bin_size / 2 if shape == "square" else start
        return Lattice(KINDS[shape], np.zeros((1, 2), np.int64), basis, origin)
    steps = bin_size / places.pitch
    if round(steps) and abs(steps / round(steps) - 1) < SNAP:
        steps = round(steps)
    elif shape == "square" and 1 < steps < UNEVEN:
        warnings.warn(
            f"bin_size={bin_size:g} is no multiple of {places.pitch:g}, the distance of neighbouring positions, so "
            f"bins hold unequal numbers of them; pass bin_size={max(2, round(steps)) * places.pitch:g}",
            UserWarning,
            stacklevel=4,
        )
    # The first position is the first of its bin: hexagonal bins are centred on it.
    first = places.lower + ((steps - 1) / 2 if shape == "square" else 0)
    return Lattice(places.kind, np.zeros((1, 2), np.int64), steps * places.basis, places.origin + first @ places.basis)


def _places(coordinates: NDArray[np.float64]) -> Lattice | None:
    """Return the lattice on which the cells lie; None if there is none."""
    unique = np.unique(coordinates, axis=0)
    if len(unique) < FEWEST_PLACES:
        return None
    distance = np.asarray(cKDTree(unique).query(unique[:: len(unique) // 5000 + 1], k=2)[0])[:, 1]
    low, high = np.quantile(distance, [0.05, 0.75])
    if high > 1.3 * low:
        return None
    try:
        lattice = lattice_from_coordinates(unique)
    except ValueError:
        return None
    return lattice if residual(lattice, unique) <= MAX_PLACE_RESIDUAL else None


def _advice(coordinates: NDArray[np.float64]) -> str:
    """Say what to do where nearly all bins would be empty."""
    low, high = np.quantile(coordinates, [0.01, 0.99], axis=0)
    far = (np.abs(coordinates - (low + high) / 2) > 2 * (high - low).max()).any(axis=1)
    if far.any():
        x, y = coordinates[far][0]
        return f"{far.sum()} of {len(far)} cells lie far from the others (for example at {x:g}, {y:g}): drop them"
    return f"choose a larger size, or 'auto' for bins of {CELLS_PER_BIN} cells"


def auto_bin_size(sections: Sequence[NDArray[np.float64]]) -> float:
    """Return the size of square bins that hold 4 cells on average, of those that hold any, to two digits.

    Sections are (n_cells, 2) each. Refuses fewer than 8 cells, and cells on a line.
    """
    n_cells = sum(len(section) for section in sections)
    extents = np.array([np.ptp(section, axis=0) for section in sections])
    if n_cells < 2 * CELLS_PER_BIN or not (extents > 0).all(axis=1).any():
        msg = f"bin_size='auto' needs at least {2 * CELLS_PER_BIN} cells that spread in both directions; give a number"
        raise ValueError(msg)

    def per_bin(size: float) -> float:
        occupied = [len(np.unique(np.floor((each - each.min(axis=0)) / size), axis=0)) for each in sections]
        return n_cells / sum(occupied)

    high = float(extents.max())
    low = high / n_cells
    while high / low > 1.001:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if per_bin(middle) > CELLS_PER_BIN else (middle, high)
    return float(f"{high:.2g}")
