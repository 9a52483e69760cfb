"""The cells of a lattice as polygons, and the outline of all of them."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._lattice import Kind, Lattice

__all__ = ["bounds", "outline_rings", "site_polygons"]

SIXTHS = 6
"""Corners of squares and hexagons lie at whole multiples of 1/6 along u and v."""


def site_polygons(lattice: "Lattice") -> "NDArray[np.float64]":
    """Outline the cell of every site: what lies nearer to it than to any other position of the (ideal) lattice.

    Returns
    -------
    (n_sites, 4 or 6, 2): x and y of the corners in turn, in the units of the coordinates. Neighbouring cells share
    corners, so the polygons tile the section without gap or overlap.
    """
    corners = _corners(lattice.kind) / SIXTHS
    polygons: NDArray[np.float64] = lattice.coordinates[:, None] + (corners @ lattice.basis)[None]
    return polygons


def bounds(polygons: "NDArray[np.float64]") -> tuple[float, float, float, float]:
    """Left, right, top (the smallest y) and bottom of polygons."""
    (left, top), (right, bottom) = (f(axis=(0, 1)) for f in (polygons.min, polygons.max))
    return float(left), float(right), float(top), float(bottom)


def outline_rings(lattice: "Lattice") -> "list[NDArray[np.float64]]":
    """Trace the border between sites and what is no site: one ring around each part of the section and each hole.

    Returns
    -------
    Rings of shape (n, 2): x and y of their corners, the first of which is not repeated. Holes run in the opposite
    sense, so a path of all rings is filled as the section is.
    """
    corners = _corners(lattice.kind)
    following = np.roll(corners, -1, axis=0)
    edges = []
    # Beyond the edge from a corner to the next lies the neighbour at the sum of both; corners count in sixths.
    for start, end, step in zip(corners, following, (corners + following) // SIXTHS, strict=True):
        site = lattice.index[lattice.find(lattice.index + step) < 0] * SIXTHS
        edges.append(np.stack([site + start, site + end], axis=1))
    return [lattice.origin + ring / SIXTHS @ lattice.basis for ring in _chain(np.concatenate(edges))]


def _corners(kind: "Kind") -> "NDArray[np.int64]":
    """Corners of the cell of the site (0, 0) in turn: u and v, in sixths."""
    if kind.hexagonal:
        # A corner of a hexagon is the centroid of a site and two of its neighbours.
        return 2 * np.array([(1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)])
    return 3 * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])


def _chain(edges: "NDArray[np.int64]") -> "list[NDArray[np.int64]]":
    """Join directed edges, of shape (n, 2, 2), to closed rings."""
    leaving: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, end in edges.tolist():
        leaving.setdefault(tuple(start), []).append(tuple(end))
    rings = []
    while leaving:
        first = at = next(iter(leaving))
        ring: list[tuple[int, int]] = []
        # As many edges enter a corner as leave it: a walk can only end where it began.
        while not ring or at != first:
            ring.append(at)
            ends = leaving[at]
            following = ends.pop()
            if not ends:
                del leaving[at]
            at = following
        rings.append(np.array(ring))
    return rings
