"""Finding the lattice of a section."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._kinds import KINDS, Kind, KindName
from ._lattice import Lattice

__all__ = ["bin_lattice", "lattice_from_array", "lattice_from_coordinates"]

MAX_RESIDUAL = 0.2
"""Root mean square distance of spots from their lattice positions, in pitches; random points have about 0.4."""
MAX_ARRAY_RESIDUAL = 0.5
"""The same where array positions are given: coordinates may be adjusted by image registration, not contradict them."""


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
    residual = _residual(best, coordinates)
    if residual > MAX_ARRAY_RESIDUAL:
        msg = (
            f"array_row/array_col and the coordinates contradict each other: spots lie {residual:.2f} pitches (root "
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
    best = min(fits, key=lambda fit: _residual(fit, coordinates))
    residual = _residual(best, coordinates)
    if residual > MAX_RESIDUAL:
        msg = (
            f"the {len(coordinates)} spots lie on no lattice: their root mean square distance from the best "
            f"{best.kind.name} lattice (pitch {best.pitch:.4g}) is {residual:.2f} pitches; expected at most "
            f"{MAX_RESIDUAL}. For cells or beads give bin_size="
        )
        raise ValueError(msg)
    best.check_extent()
    _check_unique(best.index, "positions on the fitted lattice")
    return best.rebased()


def bin_lattice(coordinates: NDArray[np.float64], bin_size: float) -> tuple[Lattice, NDArray[np.int64]]:
    """Lay square bins over cells or beads; bins start at the smallest coordinates.

    Returns
    -------
    The lattice of the bins that hold a cell (in row-major order), and the bin of each cell, of shape (n_cells,).
    """
    start = coordinates.min(axis=0)
    steps = np.floor((coordinates - start) / bin_size)
    if steps.max() > 2**31:
        msg = (
            f"bin_size={bin_size} cuts the section into {steps.max():.3g} bins a side; "
            "expected a size in the units of the coordinates"
        )
        raise ValueError(msg)
    positions, bins = np.unique(steps[:, ::-1].astype(np.int64), axis=0, return_inverse=True)
    basis = bin_size * np.asarray(KINDS["square"].unit_basis)
    lattice = Lattice.from_array("square", positions, basis, start + bin_size / 2)
    lattice.check_extent()
    return lattice, bins.reshape(-1)


def _check_unique(rows: NDArray[np.generic], what: str) -> None:
    unique, counts = np.unique(rows, axis=0, return_counts=True)
    if len(unique) < len(rows):
        most = unique[counts.argmax()].tolist()
        msg = (
            f"{len(rows) - len(unique)} spots share their {what} with another (for example {most}); "
            "expected one spot a position"
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


def _residual(lattice: Lattice, coordinates: NDArray[np.float64]) -> float:
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
    angle = float(np.angle(np.exp(1j * kind.n_neighbours * angles).sum()) / kind.n_neighbours)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(pitch * np.asarray(kind.unit_basis) @ rotation)
