"""The lattice of a section, from array positions or coordinates, or made of bins of cells and beads."""

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._lattice import KINDS, Float64, Int64, Kind, KindName, Lattice

__all__ = [
    "affine_residual",
    "auto_bin_size",
    "bin_lattice",
    "lattice_from_array",
    "lattice_from_coordinates",
    "residual",
    "unit_coordinates",
]

# Residuals are root mean square distances of spots from their lattice positions, in pitches.
MAX_RESIDUAL = 0.2  # without array positions; random points have about 0.4
MAX_ARRAY_RESIDUAL = 0.5  # with array positions; image registration may adjust coordinates
SUSPICIOUS_RESIDUAL = 0.15  # above this, array positions may be rounded pixels
TILT = 0.05  # radians by which the boundary between equivalent rotations is moved, so that rounding does not decide
MAX_DISTORTION = np.log(1.3)  # see `_distortion`; hexagonal to quincunx: log(1.73); real arrays: up to log(1.11)
FLAT = np.log(1000)  # distortion above which coordinates lie on a line
FEW_NEIGHBOURS = 0.2  # neighbouring pairs relative to random positions, below which array positions may be pixels
PIXELS = 2.8  # distance of neighbouring spots in array positions, in pitches, from which they are pixels
CELLS_PER_BIN = 4  # mean number of cells per occupied bin for `bin_size="auto"`
SNAP = 0.02  # relative tolerance within which a bin size is rounded to a multiple of the pitch
UNEVEN = 5  # positions along a bin from which unequal numbers per bin are negligible
MAX_CELL_RESIDUAL = 0.1  # of cells on a lattice
MIN_POSITIONS = 16  # distinct positions needed to detect a lattice of cells


def lattice_from_array(array: Int64, coordinates: Float64) -> Lattice:
    """Fit a lattice to array positions (row, col) of any offset and spacing, and to x and y, (n, 2) each."""
    _check_unique(array, "array_row/array_col")
    best = min((_fitted(ideal, coordinates) for ideal in _ideals(array)), key=_distortion)
    try:
        best.check_extent()
    except ValueError as error:
        msg = f"{error}, or drop array_row and array_col to have the lattice fitted from the coordinates"
        raise ValueError(msg) from None
    if not best.pitch > 0 or _distortion(best) > FLAT:
        msg = f"all {len(array)} coordinates lie at one place or on one line, unlike array_row/array_col; correct them"
        raise ValueError(msg)
    found = residual(best, coordinates)
    if found > MAX_ARRAY_RESIDUAL or _distortion(best) > MAX_DISTORTION:
        msg = (
            f"array_row/array_col and the coordinates contradict each other: spots lie {found:.2f} pitches (root mean "
            f"square) from a {best.kind.name} lattice that is stretched by {np.exp(_distortion(best)):.2f}; expected "
            f"at most {MAX_ARRAY_RESIDUAL} and {np.exp(MAX_DISTORTION):.2f}. If row and column are exchanged, or hold "
            "pixels, drop the array columns to have the lattice fitted from the coordinates; if x and y have different "
            "units, rescale them"
        )
        raise ValueError(msg)
    _check_no_pixels(best, coordinates, found)
    return best.rebased()


def unit_coordinates(array: Int64) -> tuple[Float64, KindName]:
    """Return x and y of array positions on a lattice of pitch 1, and its kind (hexagonal if they alternate)."""
    ideal = _ideals(array)[0]
    return ideal.unit_coordinates, ideal.kind.name


def _ideals(array: Int64) -> list[Lattice]:
    """Return the lattices of pitch 1 that are consistent with array positions."""
    steps = array - array.min(axis=0)
    steps //= max(int(np.gcd.reduce(steps, axis=None)), 1)
    alternating = len(steps) > 2 and bool(np.all(steps.sum(axis=1) % 2 == steps[0].sum() % 2))
    names: tuple[KindName, ...] = ("hex", "quincunx") if alternating else ("square",)
    if alternating:
        steps[:, 1] += steps[0].sum() % 2
    return [Lattice.from_array(name, steps, np.asarray(KINDS[name].unit_basis), np.zeros(2)) for name in names]


def _check_no_pixels(lattice: Lattice, coordinates: Float64, found: float) -> None:
    """Refuse array positions that are pixels: the coordinates then lie on a lattice of a larger pitch."""
    steps = [(0, 1), (1, 0), (1, -1)][: lattice.kind.n_neighbours // 2]
    pairs = sum(int((lattice.find(lattice.index + step) >= 0).sum()) for step in steps)
    height, width = lattice.shape
    expected = len(lattice) ** 2 / (height * width) * lattice.kind.n_neighbours / 2
    sparse = pairs < FEW_NEIGHBOURS * expected and expected >= 10
    if not sparse and found <= SUSPICIOUS_RESIDUAL:
        return
    distance = np.asarray(cKDTree(lattice.unit_coordinates).query(lattice.unit_coordinates, k=2)[0])[:, 1]
    low, spacing, high = np.quantile(distance, [0.05, 0.5, 0.95])
    # Regular subsets of a lattice (such as every third site of a hexagonal one) are lattices as well.
    if not (sparse and spacing > PIXELS and high < 1.7 * low):
        try:
            other = lattice_from_coordinates(coordinates)
        except ValueError:
            return
        spacing = other.pitch / lattice.pitch
        farthest = np.linalg.norm(other.coordinates - coordinates, axis=1).max()
        if spacing < (1.5 if found > SUSPICIOUS_RESIDUAL else PIXELS) or farthest > 0.35 * other.pitch:
            return
    msg = (
        f"array_row/array_col seem to hold pixels instead of lattice positions: neighbouring spots differ by about "
        f"{spacing:.1f} (expected 1 or 2). Drop the array columns to have the lattice fitted from the coordinates"
    )
    raise ValueError(msg)


def lattice_from_coordinates(coordinates: Float64) -> Lattice:
    """Fit kind (square or hexagonal), pitch, rotation and positions to x and y, (n_spots, 2)."""
    if len(coordinates) < 4:
        msg = f"expected at least 4 spots to find a lattice, found {len(coordinates)}; set array_row/array_col in obs"
        raise ValueError(msg)
    _check_unique(coordinates, "coordinates")
    fits = [_grown(KINDS[name], coordinates) for name in ("square", "hex")]
    best = min(fits, key=lambda fit: residual(fit, coordinates))
    found = residual(best, coordinates)
    if found > MAX_RESIDUAL:
        msg = (
            f"the {len(coordinates)} spots do not lie on a lattice: their root mean square distance from the best "
            f"{best.kind.name} lattice (pitch {best.pitch:.4g}) is {found:.2f} pitches; expected at most "
            f"{MAX_RESIDUAL}. For cells or beads pass bin_size="
        )
        raise ValueError(msg)
    best.check_extent()
    _check_unique(best.index, "positions on the fitted lattice")
    return best.rebased()


def _check_unique(rows: NDArray[np.generic], what: str) -> None:
    unique, counts = np.unique(rows, axis=0, return_counts=True)
    if len(unique) < len(rows):
        most = unique[counts.argmax()].tolist()
        msg = (
            f"{len(rows) - len(unique)} spots share their {what} with another spot (for example {most}); expected one "
            "spot per position: pass bin_size= for cells or beads, library_key= for several sections"
        )
        raise ValueError(msg)


def _fitted(lattice: Lattice, coordinates: Float64) -> Lattice:
    """Fit basis and origin by least squares; spots on a line determine scale and direction only."""
    index = lattice.index - lattice.index.mean(axis=0)
    unit = index @ np.asarray(lattice.kind.unit_basis)
    offset = coordinates - coordinates.mean(axis=0)
    if np.linalg.matrix_rank(unit) == 2:
        linear = np.linalg.lstsq(unit, offset, rcond=None)[0]
    else:
        ideal, found = unit @ [1, 1j], offset @ [1, 1j]
        turn = np.vdot(ideal, found) / np.vdot(ideal, ideal) if ideal.any() else 1 + 0j
        linear = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]])
    basis = np.asarray(lattice.kind.unit_basis) @ linear
    origin = coordinates.mean(axis=0) - lattice.index.mean(axis=0) @ basis
    return Lattice(lattice.kind, lattice.index, basis, origin)


def _distortion(lattice: Lattice) -> float:
    """Return the log ratio of the singular values of the map from the ideal to the fitted basis: 0 if similar."""
    linear = np.linalg.solve(np.asarray(lattice.kind.unit_basis), lattice.basis)
    large, small = np.maximum(np.linalg.svd(linear, compute_uv=False), 1e-300)
    return float(np.log(large / small))


def residual(lattice: Lattice, coordinates: Float64) -> float:
    """Return the root mean square distance between spots and their positions, in pitches."""
    square = np.sum((lattice.coordinates - coordinates) ** 2, axis=1).mean()
    return float(np.sqrt(square) / max(lattice.pitch, 1e-300))


def affine_residual(lattice: Lattice, coordinates: Float64) -> float:
    """Return the residual with basis and origin fitted to these spots alone, in pitches of `lattice`."""
    fitted = _fitted(lattice, coordinates)
    return residual(fitted, coordinates) * fitted.pitch / lattice.pitch


def _grown(kind: Kind, coordinates: Float64) -> Lattice:
    """Fit the lattice near the centre, then on discs of doubling radius until all spots are included."""
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


def _local_basis(kind: Kind, coordinates: Float64) -> Float64:
    """Estimate pitch and rotation from the displacements between nearest neighbours."""
    k = min(kind.n_neighbours + 1, len(coordinates))
    distance, neighbour = (np.asarray(found) for found in cKDTree(coordinates).query(coordinates, k=k))
    pitch = float(np.median(distance[:, 1][distance[:, 1] <= 1.2 * np.quantile(distance[:, 1], 0.1)]))
    site, rank = np.nonzero((distance > 0) & (distance <= 1.2 * pitch))
    step = coordinates[neighbour[site, rank]] - coordinates[site]
    angles = np.arctan2(step[:, 1], step[:, 0])
    angle = TILT + float(np.angle(np.exp(1j * kind.n_neighbours * (angles - TILT)).sum()) / kind.n_neighbours)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(pitch * np.asarray(kind.unit_basis) @ rotation)


def bin_lattice(
    coordinates: Float64, bin_size: float, *, shape: Literal["square", "hex"] = "square", min_cells: int = 1
) -> tuple[Lattice, Int64]:
    """Return the lattice of the bins with at least `min_cells` cells, by row, and the bin of each cell, -1 if none.

    If the cells lie on a lattice of the same shape (e.g. small bins of Visium HD or Stereo-seq), bins are aligned with
    it and start half a pitch before its first position, and a `bin_size` within 2 % of a multiple of the pitch is set
    to that multiple. Otherwise square bins start at the smallest coordinates, and hexagonal bins are centred there.
    """
    grid = _bin_grid(coordinates, bin_size, shape)
    occupied, bins, n_cells = np.unique(grid.nearest(coordinates), axis=0, return_inverse=True, return_counts=True)
    if len(occupied) == 1 < len(coordinates):
        width, height = np.ptp(coordinates, axis=0)
        msg = f"bin_size={bin_size:g} puts all cells, on {width:g} x {height:g}, into one bin: choose a smaller size"
        raise ValueError(msg)
    enough = n_cells >= min_cells
    if not enough.any():
        too_few = f"no bin of size {bin_size:g} holds min_cells={min_cells} cells"
        msg = f"{too_few}; the largest count is {n_cells.max()}: choose a larger bin_size or a smaller min_cells"
        raise ValueError(msg)
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    lattice = grid.with_index(occupied[enough])
    try:
        lattice.check_extent()
    except ValueError:
        height, width = np.ptp(lattice.index, axis=0) + 1
        cut = f"bin_size={bin_size:g} cuts the section into {height} x {width} bins"
        msg = f"{cut}, of which {len(lattice)} hold cells: nearly all are empty; {_advice(coordinates)}"
        raise ValueError(msg) from None
    return lattice, number[bins.reshape(-1)]


def _bin_grid(coordinates: Float64, bin_size: float, shape: Literal["square", "hex"]) -> Lattice:
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


def _cell_lattice(coordinates: Float64) -> Lattice | None:
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
    return lattice if residual(lattice, unique) <= MAX_CELL_RESIDUAL else None


def _advice(coordinates: Float64) -> str:
    """Return advice for bins that are nearly all empty."""
    low, high = np.quantile(coordinates, [0.01, 0.99], axis=0)
    far = (np.abs(coordinates - (low + high) / 2) > 2 * (high - low).max()).any(axis=1)
    if far.any():
        x, y = coordinates[far][0]
        return f"{far.sum()} of {len(far)} cells lie far from the others (for example at {x:g}, {y:g}): drop them"
    return f"choose a larger size, or 'auto' for bins of {CELLS_PER_BIN} cells"


def auto_bin_size(sections: Sequence[Float64]) -> float:
    """Return the size of square bins, to two digits, at which occupied bins hold 4 cells on average."""
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
