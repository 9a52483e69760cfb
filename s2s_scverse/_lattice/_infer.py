"""Finding the lattice of a section."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._kinds import KINDS, Kind, KindName
from ._lattice import Lattice

__all__ = ["auto_bin_size", "bin_lattice", "lattice_from_array", "lattice_from_coordinates", "residual"]

MAX_RESIDUAL = 0.2
"""Root mean square distance of spots from their lattice positions, in pitches; random points have about 0.4."""
CELLS_PER_BIN = 4
"""What `auto_bin_size` aims at."""
MAX_ARRAY_RESIDUAL = 0.5
"""The same where array positions are given: coordinates may be adjusted by image registration, not contradict them."""
TILT = 0.05
"""Radians. Turned by half the angle between neighbours, a lattice may be taken for turned either way: the same one is
chosen up to this much beyond, so that rounding does not decide."""


MAX_DISTORTION = np.log(1000)
"""Of a lattice, as `_distortion` measures it: coordinates of some width, however little."""


def lattice_from_array(array: NDArray[np.int64], coordinates: NDArray[np.float64]) -> Lattice:
    """Build the lattice from array positions, and fit where it lies.

    Parameters
    ----------
    array
        (n_spots, 2): array_row and array_col, any offset and spacing.
    coordinates
        (n_spots, 2): x and y.

    Raises
    ------
    ValueError
        If two spots share a position, if the positions span an absurd extent, or if the coordinates contradict them.
    """
    _check_unique(array, "array_row/array_col")
    steps = array - array.min(axis=0)
    steps //= max(int(np.gcd.reduce(steps, axis=None)), 1)
    alternating = len(steps) > 2 and bool(np.all(steps.sum(axis=1) % 2 == steps[0].sum() % 2))
    names: tuple[KindName, ...] = ("hex", "quincunx") if alternating else ("square",)
    if alternating:
        steps[:, 1] += steps[0].sum() % 2
    fits = [_fitted(Lattice.from_array(name, steps, np.eye(2), np.zeros(2)), coordinates) for name in names]
    best = min(fits, key=_distortion)
    best.check_extent()
    if not best.pitch > 0 or _distortion(best) > MAX_DISTORTION:
        msg = (
            f"the coordinates of all {len(array)} spots lie at one place or on one line, which array_row/array_col "
            "contradict; correct them, or pass another spatial_key"
        )
        raise ValueError(msg)
    found = residual(best, coordinates)
    if found > MAX_ARRAY_RESIDUAL:
        msg = (
            f"array_row/array_col and the coordinates contradict each other: spots lie {found:.2f} pitches (root "
            f"mean square) from where a {best.kind.name} lattice puts them; expected at most {MAX_ARRAY_RESIDUAL}. "
            "Drop the array columns to have the lattice fitted from the coordinates, or correct them"
        )
        raise ValueError(msg)
    return best.rebased()


def lattice_from_coordinates(coordinates: NDArray[np.float64]) -> Lattice:
    """Find kind, pitch, rotation and positions from coordinates alone.

    Parameters
    ----------
    coordinates
        (n_spots, 2): x and y.

    Raises
    ------
    ValueError
        If the spots lie on no square or hex lattice, or two of them on one position.
    """
    if len(coordinates) < 4:
        msg = (
            f"expected at least 4 spots to find a lattice from coordinates, found {len(coordinates)}; "
            "set array_row/array_col in obs"
        )
        raise ValueError(msg)
    _check_unique(coordinates, "coordinates")
    fits = [_grown(KINDS[name], coordinates) for name in ("square", "hex")]
    best = min(fits, key=lambda fit: residual(fit, coordinates))
    found = residual(best, coordinates)
    if found > MAX_RESIDUAL:
        msg = (
            f"the {len(coordinates)} spots lie on no lattice: their root mean square distance from the best "
            f"{best.kind.name} lattice (pitch {best.pitch:.4g}) is {found:.2f} pitches; expected at most "
            f"{MAX_RESIDUAL}. For cells or beads give bin_size="
        )
        raise ValueError(msg)
    best.check_extent()
    _check_unique(best.index, "positions on the fitted lattice")
    return best.rebased()


def bin_lattice(
    coordinates: NDArray[np.float64], bin_size: float, *, shape: Literal["square", "hex"] = "square", min_cells: int = 1
) -> tuple[Lattice, NDArray[np.int64]]:
    """Lay bins over cells or beads; square bins start at the smallest coordinates, hexagonal ones are centred there.

    Parameters
    ----------
    coordinates
        (n_cells, 2): x and y.
    bin_size
        Side of square bins, distance of the centres of hexagonal ones.
    shape
        ``"square"`` or ``"hex"``.
    min_cells
        Bins with fewer cells are left out.

    Returns
    -------
    The lattice of the bins (in row-major order), and the bin of each cell, of shape (n_cells,), -1 for none.

    Raises
    ------
    ValueError
        If the bins are absurdly small, or one holds all cells, or none has enough.
    """
    start = coordinates.min(axis=0)
    across = np.ptp(coordinates, axis=0).max() / bin_size
    if across > 2**31:
        msg = (
            f"bin_size={bin_size} cuts the section into {across:.3g} bins a side; "
            "expected a size in the units of the coordinates"
        )
        raise ValueError(msg)
    basis = bin_size * np.asarray(KINDS[shape].unit_basis)
    origin = start + bin_size / 2 if shape == "square" else start
    grid = Lattice(KINDS[shape], np.zeros((1, 2), np.int64), basis, origin)
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
            "nearly all would be empty; choose a larger size, or 'auto' for bins of 4 cells"
        )
        raise ValueError(msg) from None
    return lattice, number[bins.reshape(-1)]


def auto_bin_size(sections: Sequence[NDArray[np.float64]]) -> float:
    """Return the size of square bins that hold 4 cells on average, of those that hold any, to two digits.

    Parameters
    ----------
    sections
        (n_cells, 2) each: x and y.

    Raises
    ------
    ValueError
        If there are fewer than 8 cells, or all lie on a line.
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


def _check_unique(rows: NDArray[np.generic], what: str) -> None:
    unique, counts = np.unique(rows, axis=0, return_counts=True)
    if len(unique) < len(rows):
        most = unique[counts.argmax()].tolist()
        msg = (
            f"{len(rows) - len(unique)} spots share their {what} with another (for example {most}); "
            "expected one spot a position; several sections in one AnnData need library_key="
        )
        raise ValueError(msg)


def _fitted(lattice: Lattice, coordinates: NDArray[np.float64]) -> Lattice:
    """Fit basis and origin by least squares; directions in which all spots agree follow the ideal lattice."""
    index = lattice.index - lattice.index.mean(axis=0)
    unit = index @ np.asarray(lattice.kind.unit_basis)
    offset = coordinates - coordinates.mean(axis=0)
    if np.linalg.matrix_rank(unit) == 2:
        linear = np.linalg.lstsq(unit, offset, rcond=None)[0]
    else:
        # Spots on one line fix only the scale and the direction of that line.
        lengths = np.linalg.norm(unit, axis=1), np.linalg.norm(offset, axis=1)
        scale = lengths[1].sum() / lengths[0].sum() if lengths[0].sum() else 1.0
        ahead = offset.T @ unit
        angle = np.arctan2(ahead[1, 0] - ahead[0, 1], ahead[0, 0] + ahead[1, 1])
        linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    basis = np.asarray(lattice.kind.unit_basis) @ linear
    origin = coordinates.mean(axis=0) - lattice.index.mean(axis=0) @ basis
    return Lattice(lattice.kind, lattice.index, basis, origin)


def _distortion(lattice: Lattice) -> float:
    """How far the fitted basis is from a rotated and scaled ideal one."""
    linear = np.linalg.solve(np.asarray(lattice.kind.unit_basis), lattice.basis)
    singular = np.linalg.svd(linear, compute_uv=False)
    return float(np.log(max(singular[0], 1e-300) / max(singular[1], 1e-300)))


def residual(lattice: Lattice, coordinates: NDArray[np.float64]) -> float:
    """Root mean square distance between spots and their positions, in pitches."""
    square = np.sum((lattice.coordinates - coordinates) ** 2, axis=1).mean()
    return float(np.sqrt(square) / max(lattice.pitch, 1e-300))


def _grown(kind: Kind, coordinates: NDArray[np.float64]) -> Lattice:
    """Fit the lattice near the centre, then on discs of twice the radius until all spots are in."""
    centre = coordinates[np.argmin(np.sum((coordinates - coordinates.mean(axis=0)) ** 2, axis=1))]
    offset = coordinates - centre
    distance = np.linalg.norm(offset, axis=1)
    basis = _local_basis(kind, coordinates)
    radius = 4 * np.linalg.norm(basis[1])
    origin = np.zeros(2)
    while True:
        near = distance <= radius
        index = np.rint((offset - origin) @ np.linalg.inv(basis)).astype(np.int64)
        lattice = Lattice(kind, index[near], basis, origin)
        if np.linalg.matrix_rank(index[near] - index[near].mean(axis=0)) == 2:
            lattice = _fitted(lattice, offset[near])
            basis, origin = lattice.basis, lattice.origin
        if near.all():
            return Lattice(kind, lattice.index, basis, origin + centre)
        radius *= 2


def _local_basis(kind: Kind, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitch and rotation from the displacements between nearest neighbours."""
    k = min(kind.n_neighbours + 1, len(coordinates))
    distance, neighbour = (np.asarray(found) for found in cKDTree(coordinates).query(coordinates, k=k))
    pitch = float(np.median(distance[:, 1][distance[:, 1] <= 1.2 * np.quantile(distance[:, 1], 0.1)]))
    site, rank = np.nonzero((distance > 0) & (distance <= 1.2 * pitch))
    step = coordinates[neighbour[site, rank]] - coordinates[site]
    angles = np.arctan2(step[:, 1], step[:, 0])
    angle = TILT + float(np.angle(np.exp(1j * kind.n_neighbours * (angles - TILT)).sum()) / kind.n_neighbours)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(pitch * np.asarray(kind.unit_basis) @ rotation)
