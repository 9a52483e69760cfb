"""Lattices of sites: kinds, geometry, raster images, outline and samples; and the section on its lattice."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, cKDTree

__all__ = [
    "KINDS",
    "Fill",
    "Kind",
    "KindName",
    "Lattice",
    "SectionOnLattice",
    "fill_sites",
    "random_sample",
    "regular_sample",
]

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

KindName = Literal["square", "hex", "quincunx"]
Fill = Literal["tissue", "hull", "all"]

MAX_EMPTY_RATIO = 200  # cells of the bounding box per site, above which coordinates are considered wrong
TIE = 1e-7  # in pitches, rounding error of distances
NEIGHBOURS = 8  # number of spots that a local density is computed from
CLOSING_RADIUS = 1.6  # in spot pitches: closes gaps up to two spots wide; wider ventricles and tears stay open
SLACK = 1e-6


@dataclass(frozen=True)
class Kind:
    """Geometry of a kind of lattice; a site has integer coordinates (u, v), by which images are indexed."""

    name: KindName
    unit_basis: tuple[tuple[float, float], tuple[float, float]]
    """(x, y) of one step along u and of one step along v, on a lattice of pitch 1."""
    to_array: tuple[tuple[int, int], tuple[int, int]]
    """(u, v) weights of `array_row` (first row) and `array_col` (second row); Visium counts columns by twos."""
    n_neighbours: int  # number of nearest neighbours of a site

    @property
    def hexagonal(self) -> bool:
        return self.n_neighbours == 6

    @cached_property
    def symmetries(self) -> Int64:
        """Rotations and reflections of the lattice about a site, identity first.

        Integer matrices S of shape (8 or 12, 2, 2) that map the index (u, v) to ``S @ (u, v)`` and keep the metric.
        """
        basis, identity = np.asarray(self.unit_basis), np.eye(2, dtype=np.int64)
        metric = basis @ basis.T
        matrices = [np.array(entries).reshape(2, 2) for entries in product((-1, 0, 1), repeat=4)]
        isometries = [matrix for matrix in matrices if np.allclose(matrix.T @ metric @ matrix, metric)]
        return np.stack([identity, *(each for each in isometries if not np.array_equal(each, identity))])

    def array_from_index(self, index: Int64) -> Int64:
        """Return array positions (row, col) of indices (u, v), (n, 2) each."""
        return index @ np.asarray(self.to_array, dtype=np.int64).T

    def index_from_array(self, array: Int64) -> Int64:
        """Return indices (u, v) of array positions (row, col), (n, 2) each."""
        (a, b), (c, d) = self.to_array
        return np.asarray(array @ np.array([[d, -b], [-c, a]]).T // (a * d - b * c))


KINDS: Final[Mapping[KindName, Kind]] = MappingProxyType(
    {
        "square": Kind("square", ((0.0, 1.0), (1.0, 0.0)), ((1, 0), (0, 1)), 4),
        "hex": Kind("hex", ((0.5, 3**0.5 / 2), (1.0, 0.0)), ((1, 0), (1, 2)), 6),
        "quincunx": Kind("quincunx", ((0.5**0.5, 0.5**0.5), (0.5**0.5, -(0.5**0.5))), ((1, -1), (1, 1)), 4),
    }
)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Integer positions of sites, with ``coordinates = origin + index @ basis``."""

    kind: Kind
    index: Int64  # (n_sites, 2) u and v of every site
    basis: Float64  # (2, 2) x and y of one step along u (first row) and v (second row)
    origin: Float64  # (2,) x and y of the index (0, 0)

    @classmethod
    def from_array(cls, kind: KindName, array: Int64, basis: Float64, origin: Float64) -> "Lattice":
        """Build a lattice from array positions (row, col) of shape (n_sites, 2)."""
        return cls(KINDS[kind], KINDS[kind].index_from_array(array), basis, origin)

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def lower(self) -> Int64:
        """(2,): the smallest u and v."""
        return np.asarray(self.index.min(axis=0))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        height, width = np.ptp(self.index, axis=0) + 1
        return int(height), int(width)

    @cached_property
    def position(self) -> Int64:
        """(n_sites,): pixel of each site in the ravelled image."""
        return np.asarray(np.ravel_multi_index(tuple((self.index - self.lower).T), self.shape), dtype=np.int64)

    @property
    def array(self) -> Int64:
        """(n_sites, 2): array positions (row, col) in the convention of the lattice's kind."""
        return self.kind.array_from_index(self.index)

    @property
    def pitch(self) -> float:
        """Distance between neighbouring sites, in the units of the coordinates."""
        unit_area = abs(np.linalg.det(np.asarray(self.kind.unit_basis)))
        return float(np.sqrt(abs(np.linalg.det(self.basis)) / unit_area))

    @property
    def coordinates(self) -> Float64:
        """(n_sites, 2): x and y of every site, in the units of the section."""
        return np.asarray(self.origin + self.index @ self.basis)

    @property
    def unit_coordinates(self) -> Float64:
        """(n_sites, 2): x and y of every site on the ideal lattice of pitch 1, free of rotation and scale."""
        return np.asarray(self.index @ np.asarray(self.kind.unit_basis))

    def with_index(self, index: Int64) -> "Lattice":
        """Return the same lattice with other sites."""
        return Lattice(self.kind, index, self.basis, self.origin)

    def rebased(self) -> "Lattice":
        """Return the same sites with the smallest row and column at 0 (or 1, to preserve the parity of the kind)."""
        array = self.array
        shift = array.min(axis=0)
        if self.kind.name != "square" and shift.sum() % 2:
            shift[1] -= 1
        step = self.kind.index_from_array(shift[None])[0]
        return Lattice(self.kind, self.index - step, self.basis, self.origin + step @ self.basis)

    def densified(self, factor: int) -> "Lattice":
        """Return the same sites on a lattice of the same kind that is `factor` times finer."""
        return Lattice(self.kind, self.index * factor, self.basis / factor, self.origin)

    def coarsened(self, stride: int) -> "Lattice":
        """Return sites of one phase on the lattice of every `stride`-th site; inverts `densified`."""
        phase = self.lower % stride
        return Lattice(self.kind, (self.index - phase) // stride, self.basis * stride, self.origin + phase @ self.basis)

    def stride(self, measured: Bool) -> int:
        """Return the largest spacing of a sublattice that contains all measured sites (1 for a single one)."""
        steps = self.index[measured] - self.index[measured][:1]
        return max(int(np.gcd.reduce(np.abs(steps), axis=None)), 1)

    def spot_pitch(self, measured: Bool) -> float:
        """Return the distance between neighbouring spots, in sites.

        For irregular spots it is that of a regular sample with the same local density (median over spots).
        """
        sites, spots = cKDTree(self.unit_coordinates), self.unit_coordinates[measured]
        tree, others = cKDTree(spots), min(NEIGHBOURS, len(spots) - 1)
        if not others:
            return float(np.sqrt(len(self)))
        radius = np.asarray(tree.query(spots, k=[others + 1])[0])[:, 0] + TIE
        around = [each.query_ball_point(spots, radius, return_length=True) - 1 for each in (sites, tree)]
        stride, spacing = self.stride(measured), float(np.sqrt(np.median(around[0] / around[1])))
        return float(stride) if spacing < 1.2 * stride else spacing

    def distance_to(self, measured: Bool) -> Float64:
        """Return the distance of every site from the nearest spot, in units of the spot spacing, (n_sites,)."""
        sites = self.unit_coordinates / self.spot_pitch(measured)
        return np.asarray(cKDTree(sites[measured]).query(sites)[0])

    def nearest(self, points: Float64) -> Int64:
        """Return the index (u, v) of the lattice position nearest to each point (n, 2), with or without a site."""
        # Floats represent integers exactly up to 2^52.
        at = np.clip((points - self.origin) @ np.linalg.inv(self.basis), -(2.0**52), 2.0**52)
        corner = np.floor(at).astype(np.int64)
        # The nearest position is a corner of the unit cell around the point. Ties go to the larger index: a point on
        # the edge between two bins belongs to the second.
        corners = corner[:, None] + np.array([(1, 1), (1, 0), (0, 1), (0, 0)])
        distance = np.linalg.norm((corners - at[:, None]) @ self.basis, axis=2) / self.pitch
        distance += TIE * np.arange(4)
        return np.asarray(corners[np.arange(len(points)), distance.argmin(axis=1)])

    def find(self, index: Int64) -> Int64:
        """Return the site at each index (n, 2), -1 where there is none, (n,)."""
        inside = np.all((index >= self.lower) & (index < self.lower + self.shape), axis=1)
        found = np.full(len(index), -1, dtype=np.int64)
        found[inside] = self._sites()[tuple((index[inside] - self.lower).T)]
        return found

    def _sites(self) -> Int64:
        """Return the site at each pixel of the image, -1 where there is none, (height, width)."""
        sites = np.full(self.shape, -1, dtype=np.int64)
        sites.flat[self.position] = np.arange(len(self))
        return sites

    def subset(self, keep: Bool | Int64) -> "Lattice":
        return self.with_index(self.index[keep])

    def transformed(self, symmetry: Int64) -> "Lattice":
        """Return the lattice after a rotation or reflection, see `Kind.symmetries`."""
        return self.with_index(self.index @ symmetry.T)

    def raster(self) -> tuple[Int64, Bool]:
        """Return the site shown in each pixel of the image, and whether it lies there, (height, width) each.

        Pixels without a site show the nearest one, to avoid artificial edges.
        """
        gather = self._sites()
        tissue = gather >= 0
        if not tissue.all():
            empty = self.with_index(self.lower + np.argwhere(~tissue))
            gather[~tissue] = cKDTree(self.unit_coordinates).query(empty.unit_coordinates)[1]
        return gather, tissue

    def check_extent(self, stride: int = 1) -> None:
        """Refuse a bounding box with more than 200 cells per spot, for spots `stride` sites apart."""
        height, width = (int(n) for n in np.ptp(self.index, axis=0).astype(object) + 1)
        if height * width > MAX_EMPTY_RATIO * stride**2 * max(len(self), 50):
            msg = (
                f"the {len(self)} sites span a lattice of {height} x {width} positions, of which nearly all are empty; "
                "expected neighbouring spots to differ by 1 or 2 in array_row/array_col: check for outliers"
            )
            raise ValueError(msg)


@dataclass(frozen=True, eq=False)
class SectionOnLattice:
    """Sites of a section, and the measured values that models are fitted to.

    Sites are sorted `by_position` before anything is computed, so that random draws and rounding do not depend on the
    order of observations.
    """

    name: str | None  # value of the library key; None if the AnnData is a single section
    rows: Int64  # (n_sites,) rows of the AnnData
    lattice: Lattice  # lattice of these sites
    measured: Bool  # (n_sites,) which sites are spots
    wanted: Bool  # (n_sites,) at which sites to predict
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(n_measured, n_informative) measured values of the most variable genes."""
    depth: Float64 | None = None  # (n_measured,) size factors in any unit; None if unknown
    covariates: Float64 | None = None  # (n_sites, n_covariates) standardised over the sites
    unit: Float64 | None = None
    """(n_measured,) value of one molecule before log1p; None unless measured values are denoised."""
    logged: bool = False  # whether values are log1p of counts times `unit`

    @property
    def spots(self) -> Int64:
        """Rows of the AnnData that are spots, (n_measured,)."""
        return self.rows[self.measured]

    @property
    def denoised(self) -> bool:
        """Whether measured values are replaced by denoised ones."""
        return self.unit is not None

    def positions(self, spots: Bool) -> Float64:
        """Return x and y of all sites in units of the spacing of some `spots` (n_sites,), (n_sites, 2)."""
        return self.lattice.unit_coordinates / self.lattice.spot_pitch(spots)

    def digest(self) -> str:
        """Return a SHA-256 of relative positions, values and size factors of the spots."""
        spots = self.lattice.index[self.measured]
        found = hashlib.sha256(repr((self.lattice.kind.name, self.values.shape)).encode())
        for array in (spots - spots.min(axis=0), self.values, self.depth):
            if array is not None:
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def by_position(self) -> "SectionOnLattice":
        """Sort the sites by lattice position; call it before `values` are set."""
        return self._at(np.argsort(self.lattice.position))

    def cut(self, sites: Bool) -> "SectionOnLattice":
        """Return the section restricted to some of its sites, (n_sites,)."""
        if sites.all():
            return self
        kept = sites[self.measured]
        return replace(
            self._at(sites),
            values=self.values[kept],
            depth=None if self.depth is None else self.depth[kept],
            unit=None if self.unit is None else self.unit[kept],
        )

    def _at(self, sites: Bool | Int64) -> "SectionOnLattice":
        """Select or reorder the sites, but not the arrays of spots."""
        return replace(
            self,
            rows=self.rows[sites],
            lattice=self.lattice.subset(sites),
            measured=self.measured[sites],
            wanted=self.wanted[sites],
            covariates=None if self.covariates is None else self.covariates[sites],
        )


def fill_sites(lattice: Lattice, *, factor: int, fill: Fill) -> Int64:
    """Return the indices of the unmeasured sites, (n, 2), in row-major order.

    `lattice` holds the spots on the dense lattice, `factor` sites apart. Sites fill the morphological closing of the
    spots (``"tissue"``), their convex hull (``"hull"``) or their bounding box (``"all"``).
    """
    margin = int(np.ceil(2 * CLOSING_RADIUS * factor)) if fill == "tissue" else 0
    height, width = lattice.shape
    box = np.indices((height + 2 * margin, width + 2 * margin)).reshape(2, -1).T + lattice.lower - margin
    spots, sites = lattice.unit_coordinates, lattice.with_index(box).unit_coordinates
    inside = lattice.find(box) < 0
    if fill == "tissue":
        inside &= _closing(spots, sites, CLOSING_RADIUS * factor)
    elif fill == "hull":
        inside &= _in_hull(spots, sites)
    return np.asarray(box[inside])


def _closing(spots: Float64, sites: Float64, radius: float) -> Bool:
    """Return which sites are inside the dilation of the spots by a disc, eroded by the same disc."""
    inside = np.asarray(cKDTree(spots).query(sites)[0]) <= radius + SLACK
    inside[inside] = cKDTree(sites[~inside]).query(sites[inside])[0] > radius + SLACK
    return inside


def _in_hull(spots: Float64, sites: Float64) -> Bool:
    """Return which sites are inside the convex hull of small squares around the spots, which may lie on a line."""
    corners = np.concatenate([spots + SLACK * np.array(corner) for corner in product((-1, 1), repeat=2)])
    inside = np.ones(len(sites), dtype=bool)
    for x, y, offset in ConvexHull(corners).equations:
        inside &= sites @ [x, y] + offset <= 0
    return inside


def regular_sample(lattice: Lattice, stride: int, phase: tuple[int, int]) -> Bool:
    """Select sites whose u and v, counted from the smallest ones, equal `phase` modulo `stride`, (n_sites,)."""
    return np.asarray(np.all((lattice.index - lattice.lower) % stride == np.asarray(phase) % stride, axis=1))


def random_sample(n_sites: int, fraction: float, rng: np.random.Generator) -> Bool:
    """Select a random `fraction` of the sites, at least one, (n_sites,)."""
    kept = np.zeros(n_sites, dtype=bool)
    kept[rng.permutation(n_sites)[: max(round(fraction * n_sites), 1)]] = True
    return kept
