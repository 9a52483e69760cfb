"""The cells of a lattice as polygons, and the outline of all of them."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._lattice import Kind, Lattice

    Box = tuple[float, float, float, float]  # left, right, top (the smallest y), bottom

__all__ = ["bounds", "outline", "site_polygons"]

SIXTHS = 6
"""Corners of squares and hexagons lie at whole multiples of 1/6 along u and v."""


def site_polygons(lattice: "Lattice") -> "NDArray[np.float64]":
    """Return the cell of every site: what lies nearer to it than to any other position of the (ideal) lattice.

    Returns
    -------
    (n_sites, 4 or 6, 2): x and y of the corners in turn, in the units of the coordinates. Neighbouring cells share
    corners, so the polygons tile the section without gap or overlap.
    """
    corners = _corners(lattice.kind) / SIXTHS
    polygons: NDArray[np.float64] = lattice.coordinates[:, None] + (corners @ lattice.basis)[None]
    return polygons


def outline(lattice: "Lattice") -> "NDArray[np.float64]":
    """Return the edges between sites and what is no site, (n, 2, 2): x and y of both ends of each."""
    corners = _corners(lattice.kind)
    following = np.roll(corners, -1, axis=0)
    edges = []
    # Beyond the edge from a corner to the next lies the neighbour at the sum of both; corners count in sixths.
    for start, end, step in zip(corners, following, (corners + following) // SIXTHS, strict=True):
        border = lattice.index[lattice.find(lattice.index + step) < 0]
        edges.append(border[:, None] + np.stack([start, end]) / SIXTHS)
    found: NDArray[np.float64] = lattice.origin + np.concatenate(edges) @ lattice.basis
    return found


def bounds(polygons: "NDArray[np.float64]") -> "Box":
    """Return left, right, top (the smallest y) and bottom of polygons."""
    (left, top), (right, bottom) = (f(axis=(0, 1)) for f in (polygons.min, polygons.max))
    return float(left), float(right), float(top), float(bottom)


def _corners(kind: "Kind") -> "NDArray[np.int64]":
    """Corners of the cell of the site (0, 0) in turn: u and v, in sixths."""
    if kind.hexagonal:
        # A corner of a hexagon is the centroid of a site and two of its neighbours.
        return 2 * np.array([(1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)])
    return 3 * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
