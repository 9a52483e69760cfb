"""Lattice of the sites of a section, and its raster images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ._kinds import KINDS, Kind, KindName

__all__ = ["Lattice", "Raster"]

MAX_EMPTY_RATIO = 200  # cells of the bounding box per site, above which coordinates are considered wrong
TIE = 1e-7  # in pitches, rounding error of distances
NEIGHBOURS = 8  # number of spots that a local density is computed from


@dataclass(frozen=True, eq=False)
class Raster:
    """Map from sites to image pixels; pixels without a site show the nearest one, to avoid artificial edges."""

    gather: NDArray[np.int64]  # (height, width) the site shown in each pixel
    tissue: NDArray[np.bool_]  # (height, width) whether there is a site at each pixel


@dataclass(frozen=True, eq=False)
class Lattice:
    """Integer positions of sites, with ``coordinates = origin + index @ basis``."""

    kind: Kind
    index: NDArray[np.int64]  # (n_sites, 2) u and v of every site
    basis: NDArray[np.float64]  # (2, 2) x and y of one step along u (first row) and v (second row)
    origin: NDArray[np.float64]  # (2,) x and y of the index (0, 0)

    @classmethod
    def from_array(
        cls, kind: KindName, array: NDArray[np.int64], basis: NDArray[np.float64], origin: NDArray[np.float64]
    ) -> "Lattice":
        """Build a lattice from array positions (row, col) of shape (n_sites, 2)."""
        return cls(KINDS[kind], KINDS[kind].index_from_array(array), basis, origin)

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def lower(self) -> NDArray[np.int64]:
        """(2,): the smallest u and v."""
        return np.asarray(self.index.min(axis=0))

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        height, width = np.ptp(self.index, axis=0) + 1
        return int(height), int(width)

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """(n_sites,): pixel of each site in the ravelled image."""
        return np.asarray(np.ravel_multi_index(tuple((self.index - self.lower).T), self.shape), dtype=np.int64)

    @property
    def array(self) -> NDArray[np.int64]:
        """(n_sites, 2): array positions (row, col) in the convention of the lattice's kind."""
        return self.kind.array_from_index(self.index)

    @property
    def pitch(self) -> float:
        """Distance between neighbouring sites, in the units of the coordinates."""
        unit_area = abs(np.linalg.det(np.asarray(self.kind.unit_basis)))
        return float(np.sqrt(abs(np.linalg.det(self.basis)) / unit_area))

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """(n_sites, 2): x and y of every site, in the units of the section."""
        return np.asarray(self.origin + self.index @ self.basis)

    @property
    def unit_coordinates(self) -> NDArray[np.float64]:
        """(n_sites, 2): x and y of every site on the ideal lattice of pitch 1, free of rotation and scale."""
        return np.asarray(self.index @ np.asarray(self.kind.unit_basis))

    def with_index(self, index: NDArray[np.int64]) -> "Lattice":
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

    def stride(self, measured: NDArray[np.bool_]) -> int:
        """Return the largest spacing of a sublattice that contains all measured sites (1 for a single one)."""
        steps = self.index[measured] - self.index[measured][:1]
        return max(int(np.gcd.reduce(np.abs(steps), axis=None)), 1)

    def spot_pitch(self, measured: NDArray[np.bool_]) -> float:
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

    def distance_to(self, measured: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the distance of every site from the nearest spot, in units of the spot spacing, (n_sites,)."""
        sites = self.unit_coordinates / self.spot_pitch(measured)
        return np.asarray(cKDTree(sites[measured]).query(sites)[0])

    def nearest(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
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

    def find(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the site at each index (n, 2), -1 where there is none, (n,)."""
        inside = np.all((index >= self.lower) & (index < self.lower + self.shape), axis=1)
        site = np.full(self.shape[0] * self.shape[1], -1, dtype=np.int64)
        site[self.position] = np.arange(len(self))
        found = np.full(len(index), -1, dtype=np.int64)
        found[inside] = site[np.ravel_multi_index(tuple((index[inside] - self.lower).T), self.shape)]
        return found

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Lattice":
        """Return some of the sites."""
        return self.with_index(self.index[keep])

    def transformed(self, symmetry: NDArray[np.int64]) -> "Lattice":
        """Return the lattice after a rotation or reflection, see `Kind.symmetries`."""
        return self.with_index(self.index @ symmetry.T)

    def raster(self) -> Raster:
        """Return the map from sites to image pixels."""
        height, width = self.shape
        tissue = np.zeros(height * width, dtype=bool)
        tissue[self.position] = True
        gather = np.empty(height * width, dtype=np.int64)
        gather[self.position] = np.arange(len(self))
        empty = np.flatnonzero(~tissue)
        if len(empty):
            cells = self.lower + np.stack(np.unravel_index(empty, self.shape), axis=1)
            at = cells @ np.asarray(self.kind.unit_basis)
            gather[empty] = cKDTree(self.unit_coordinates).query(at)[1]
        return Raster(gather.reshape(self.shape), tissue.reshape(self.shape))

    def check_extent(self, stride: int = 1) -> None:
        """Refuse a bounding box with more than 200 cells per spot, for spots `stride` sites apart."""
        height, width = (int(n) for n in np.ptp(self.index, axis=0).astype(object) + 1)
        if height * width > MAX_EMPTY_RATIO * stride**2 * max(len(self), 50):
            msg = (
                f"the {len(self)} sites span a lattice of {height} x {width} positions, of which nearly all are empty; "
                "expected neighbouring spots to differ by 1 or 2 in array_row/array_col: check for outliers"
            )
            raise ValueError(msg)
