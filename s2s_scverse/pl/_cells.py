"""The cells of a lattice as polygons."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._lattice import Lattice

__all__ = ["site_polygons"]


def site_polygons(lattice: "Lattice") -> "NDArray[np.float64]":
    """Outline the cell of every site: what lies nearer to it than to any other position of the (ideal) lattice.

    Returns
    -------
    (n_sites, 4 or 6, 2): x and y of the corners in turn, in the units of the coordinates. Neighbouring cells share
    corners, so the polygons tile the section without gap or overlap.
    """
    if lattice.kind.hexagonal:
        # A corner of a hexagon is the centroid of a site and two of its neighbours.
        corners = np.array([(1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)]) / 3
    else:
        corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) / 2
    polygons: NDArray[np.float64] = lattice.coordinates[:, None] + (corners @ lattice.basis)[None]
    return polygons
