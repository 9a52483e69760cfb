"""Cells of a lattice: their polygons, their common outline, and how they are drawn."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from .._lattice import Kind, Lattice, SectionOnLattice
from ._underlay import Box, Underlay, find_underlay

__all__ = ["draw_cells", "hairline", "lay_out", "outline", "set_frame", "site_polygons"]

SIXTHS = 6
"""Corners of squares and hexagons lie at whole multiples of 1/6 along u and v."""
THINNEST = 1 / 3
"""Smallest ratio of the sides of a panel: leaves room for its title and the label of its colour bar."""


def site_polygons(lattice: Lattice, width: float = 1.0) -> NDArray[np.float64]:
    """Return the corners of the cell of every site, (n_sites, 4 or 6, 2): x and y.

    A cell holds what lies nearer to its site than to any other position of the ideal lattice, so that cells tile the
    section. With `width` they are that much wider: cells of every second site tile it with a width of 2.
    """
    corners = width * _corners(lattice.kind) / SIXTHS
    polygons: NDArray[np.float64] = lattice.coordinates[:, None] + (corners @ lattice.basis)[None]
    return polygons


def outline(lattice: Lattice) -> NDArray[np.float64]:
    """Return the edges between sites and positions without a site, (n, 2, 2): x and y of both ends."""
    corners = _corners(lattice.kind)
    following = np.roll(corners, -1, axis=0)
    edges = []
    # Beyond the edge from a corner to the next lies the neighbour at the sum of both; corners count in sixths.
    for start, end, step in zip(corners, following, (corners + following) // SIXTHS, strict=True):
        border = lattice.index[lattice.find(lattice.index + step) < 0]
        edges.append(border[:, None] + np.stack([start, end]) / SIXTHS)
    found: NDArray[np.float64] = lattice.origin + np.concatenate(edges) @ lattice.basis
    return found


def lay_out(
    section: SectionOnLattice, spatial: object, img: bool | str | None, *, margin: float = 0.0
) -> tuple[Box, Underlay | None]:
    """Return the limits of the panel of a section, with a margin around its cells, and the image beneath."""
    polygons = site_polygons(section.lattice)
    (left, top), (right, bottom) = polygons.min(axis=(0, 1)).tolist(), polygons.max(axis=(0, 1)).tolist()
    underlay = find_underlay(spatial, section.name, img, (left, right, top, bottom))
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x = margin + max(THINNEST * height - width, 0) / 2
    y = margin + max(THINNEST * width - height, 0) / 2
    return (left - x, right + x, top - y, bottom + y), underlay


def set_frame(axis: Axes, box: Box) -> None:
    """Prepare the axes of a map: y points down, equal scales, no ticks and no frame."""
    left, right, top, bottom = box
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="none")
    axis.spines[:].set_visible(False)


def draw_cells(axis: Axes, polygons: NDArray[np.float64], **style: Any) -> PolyCollection:
    """Fill the cells of a lattice, in axes whose limits are set."""
    radius = float(np.linalg.norm(polygons[0, 0] - polygons[0].mean(axis=0))) if len(polygons) else 1.0
    verts: Any = polygons  # an array is what it takes fastest
    style.setdefault("linewidths", hairline(axis, radius))
    style.setdefault("edgecolors", "face")
    cells = PolyCollection(verts, **style)
    cells.set_in_layout(False)  # they never leave the axes, and measuring them all takes long
    axis.add_collection(cells, autolim=False)
    return cells


def hairline(axis: Axes, radius: float) -> float:
    """Return the width of edges, in points, of cells of a radius in units of the data.

    Edges in the colour of the cell close the seams that antialiasing leaves between cells. They are thin, so that small
    cells keep their size.
    """
    left, right = axis.get_xlim()
    points = radius / (right - left) * axis.get_position().width * axis.figure.bbox.width * 72 / axis.figure.dpi
    return min(0.4, points / 5)


def _corners(kind: Kind) -> NDArray[np.int64]:
    """Corners of the cell of the site (0, 0) in turn: u and v, in sixths."""
    if kind.hexagonal:
        # A corner of a hexagon is the centroid of a site and two of its neighbours.
        return 2 * np.array([(1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)])
    return 3 * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
