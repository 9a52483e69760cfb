"""The kinds of lattice: how each looks in the plane, and its symmetries as integer matrices."""

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
    """One kind of lattice.

    A site has integer coordinates (u, v). The image of a lattice is indexed by (u, v), so it has no systematic gaps.
    """

    name: KindName
    unit_basis: tuple[tuple[float, float], tuple[float, float]]
    """(x, y) of one step along u and of one step along v, on a lattice of pitch 1."""
    to_array: tuple[tuple[int, int], tuple[int, int]]
    """Rows: the (u, v) weights of `array_row` and of `array_col` (Visium counts columns by twos)."""
    n_neighbours: int
    """Number of nearest neighbours of a site."""

    @property
    def hexagonal(self) -> bool:
        """Whether sites have six neighbours."""
        return self.n_neighbours == 6

    @cached_property
    def symmetries(self) -> NDArray[np.int64]:
        """The rotations and reflections of the lattice about a site, identity first.

        Integer matrices of shape (8 or 12, 2, 2): a symmetry takes the index (u, v) to ``S @ (u, v)``. They are the
        small integer matrices that keep the metric of the lattice.
        """
        basis = np.asarray(self.unit_basis)
        metric = basis @ basis.T
        found = [np.eye(2, dtype=np.int64)]
        for entries in product((-1, 0, 1), repeat=4):
            matrix = np.array(entries, dtype=np.int64).reshape(2, 2)
            keeps_metric = np.allclose(matrix.T @ metric @ matrix, metric)
            if keeps_metric and not np.array_equal(matrix, found[0]):
                found.append(matrix)
        return np.stack(found)

    def array_from_index(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn (n, 2) indices (u, v) into (n, 2) array positions (row, col)."""
        return index @ np.asarray(self.to_array, dtype=np.int64).T

    def index_from_array(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn (n, 2) array positions (row, col) into (n, 2) indices (u, v)."""
        (a, b), (c, d) = self.to_array
        return np.asarray(array @ np.array([[d, -b], [-c, a]]).T // (a * d - b * c))


KINDS: Final[Mapping[KindName, Kind]] = MappingProxyType(
    {
        "square": Kind("square", ((0.0, 1.0), (1.0, 0.0)), ((1, 0), (0, 1)), 4),
        "hex": Kind("hex", ((0.5, 3**0.5 / 2), (1.0, 0.0)), ((1, 0), (1, 2)), 6),
        "quincunx": Kind("quincunx", ((0.5**0.5, 0.5**0.5), (0.5**0.5, -(0.5**0.5))), ((1, -1), (1, 1)), 4),
    }
)
