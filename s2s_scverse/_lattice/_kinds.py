"""Kinds of lattice: their geometry, and their symmetries as integer matrices."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "KindName"]

KindName = Literal["square", "hex", "quincunx"]


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
        """Whether sites have six neighbours."""
        return self.n_neighbours == 6

    @cached_property
    def symmetries(self) -> NDArray[np.int64]:
        """Rotations and reflections of the lattice about a site, identity first.

        Integer matrices S of shape (8 or 12, 2, 2) that map the index (u, v) to ``S @ (u, v)`` and keep the metric.
        """
        basis, identity = np.asarray(self.unit_basis), np.eye(2, dtype=np.int64)
        metric = basis @ basis.T
        matrices = [np.array(entries).reshape(2, 2) for entries in product((-1, 0, 1), repeat=4)]
        isometries = [matrix for matrix in matrices if np.allclose(matrix.T @ metric @ matrix, metric)]
        return np.stack([identity, *(each for each in isometries if not np.array_equal(each, identity))])

    def array_from_index(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return array positions (row, col) of indices (u, v), (n, 2) each."""
        return index @ np.asarray(self.to_array, dtype=np.int64).T

    def index_from_array(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
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
