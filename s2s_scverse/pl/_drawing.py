"""Parts of a map of a section: its cells and their outline, the image of the tissue beneath, a scale bar."""

import re
import warnings
from collections.abc import Mapping
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PolyCollection
from matplotlib.font_manager import FontProperties
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_section, read_sections
from .._checks import check_adata, check_bool, check_number, check_type
from .._image import find_library, library_image
from .._lattice import Kind, Lattice, SectionOnLattice

Box = tuple[float, float, float, float]  # left, right, top (the smallest y), bottom
SIXTHS = 6  # corners of squares and hexagons lie at whole multiples of 1/6 along u and v
ENDS, PALE = (2, 98), (0.6, 1.0)
"""Percentiles of an image, and the greys that they are drawn in beneath values: pale, so that colours stand out."""
THINNEST = 1 / 3  # smallest ratio of the sides of a panel: leaves room for its title and its colour bar's label
VISIUM = 100.0, (0.5, 0.7)
"""Micrometres between Visium spots, and range of their diameter in ``scalefactors`` relative to this distance."""


class Underlay(NamedTuple):
    """An image, (height, width) with 3 or 4 colours if any, and its edges in the units of the coordinates."""

    pixels: NDArray[Any]
    box: Box

    def in_pale_grey(self) -> "Underlay":
        """Return the image without colours, its contrast stretched over light greys."""
        from skimage.color import rgb2gray

        grey = self.pixels if self.pixels.ndim == 2 else rgb2gray(self.pixels[..., :3])
        pale = np.interp(grey, np.nanpercentile(grey, ENDS), PALE)
        return self._replace(pixels=np.stack([pale] * 3, axis=-1))


class Place(NamedTuple):
    """Limits of the panels of a section, its image, and micrometres per unit of the coordinates if known.

    `beneath` is the image as it is drawn beneath values.
    """

    box: Box
    underlay: Underlay | None
    beneath: Underlay | None
    micrometres: float | None


def chosen_sections(adata: AnnData, library_id: str | None) -> tuple[AnnData, list[SectionOnLattice]]:
    """Return the section that is named, or all of them."""
    check_adata(adata)
    if library_id is not None:
        adata, _ = read_section(adata, library_id)
    return adata, read_sections(adata)


def find_place(
    adata: AnnData,
    section: SectionOnLattice,
    img: bool | str | None,
    scalebar_dx: float | None = None,
    *,
    bw: bool = True,
    margin: float = 0.0,
) -> Place:
    """Return where to draw a section, with a margin around its cells."""
    check_bool("bw", bw)
    polygons = site_polygons(section.lattice)
    (left, top), (right, bottom) = polygons.min(axis=(0, 1)).tolist(), polygons.max(axis=(0, 1)).tolist()
    underlay = find_underlay(adata.uns.get("spatial"), section.name, img, (left, right, top, bottom))
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x = margin + max(THINNEST * height - width, 0) / 2
    y = margin + max(THINNEST * width - height, 0) / 2
    micrometres = micrometres_per_unit(adata, section, scalebar_dx)
    beneath = underlay.in_pale_grey() if underlay is not None and bw else underlay
    return Place((left - x, right + x, top - y, bottom + y), underlay, beneath, micrometres)


def set_frame(axis: Axes, box: Box) -> None:
    """Prepare the axes of a map: y points down, equal scales, no ticks and no frame."""
    left, right, top, bottom = box
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="none")
    axis.spines[:].set_visible(False)


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


def _corners(kind: Kind) -> NDArray[np.int64]:
    """Corners of the cell of the site (0, 0) in turn: u and v, in sixths."""
    if kind.hexagonal:
        # A corner of a hexagon is the centroid of a site and two of its neighbours.
        return 2 * np.array([(1, 1), (2, -1), (1, -2), (-1, -1), (-2, 1), (-1, 2)])
    return 3 * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])


def add_collection(axis: Axes, collection: Collection) -> None:
    """Add a collection to axes whose limits are set."""
    collection.set_in_layout(False)  # it never leaves the axes, and measuring it takes long
    axis.add_collection(collection, autolim=False)


def draw_cells(axis: Axes, polygons: Any, **style: Any) -> None:
    """Fill the cells of a lattice, in axes whose limits are set."""
    radius = float(np.linalg.norm(polygons[0, 0] - polygons[0].mean(axis=0))) if len(polygons) else 1.0
    look: Any = {"linewidths": hairline(axis, radius), "edgecolors": "face"} | style
    add_collection(axis, PolyCollection(polygons, **look))


def hairline(axis: Axes, radius: float) -> float:
    """Return the width of edges, in points, of cells of a radius in units of the data.

    Edges in the colour of the cell close the seams that antialiasing leaves between cells. They are thin, so that small
    cells keep their size.
    """
    left, right = axis.get_xlim()
    points = radius / (right - left) * axis.get_position().width * axis.figure.bbox.width * 72 / axis.figure.dpi
    return min(0.4, points / 5)


def find_underlay(spatial: object, section: str | None, img: bool | str | None, box: Box) -> Underlay | None:
    """Return the image in ``adata.uns["spatial"]`` that a section with the edges `box` lies on.

    `img` is its name; True for the one of the highest resolution, None for that if there is one, False for none.
    """
    check_type("img", img, "True, False, None or the name of an image", bool, str, NoneType)
    if img is False:
        return None
    try:
        library = find_library(spatial, section, "pass img=False")
        image = library_image(library, None if img is True else img, "pass img=False")
    except (KeyError, ValueError):
        if img is None:  # not asked for
            return None
        raise
    height, width = image.shape
    # Pixel 0 is centred at coordinate 0, as scanpy and squidpy draw it.
    left, right, top, bottom = (edge / image.scale for edge in (-0.5, width - 0.5, -0.5, height - 0.5))
    if not (box[0] < right and box[1] > left and box[2] < bottom and box[3] > top):
        if img is None:
            return None
        edges = (box, (left, right, top, bottom))
        at, below = ("x {:.4g} to {:.4g}, y {:.4g} to {:.4g}".format(*each) for each in edges)
        advice = "coordinates must be in pixels of the full image: rescale them, or pass img=False"
        msg = f"the section ({at}) lies outside its image ({below}); {advice}"
        raise ValueError(msg)
    _warn_of_scaled(library, box)
    pixels = image.pixels
    if pixels.ndim == 3 and pixels.dtype != np.uint8:
        pixels = np.clip(pixels / image.white, 0, 1)  # colours of matplotlib are bytes, or 0 to 1
    return Underlay(pixels, (left, right, top, bottom))


def _warn_of_scaled(library: Mapping[str, Any], box: Box) -> None:
    """Warn if coordinates seem to be in pixels of a scaled image instead of the full one."""
    left, right, top, bottom = box
    scales = {name: float(library["scalefactors"].get(f"tissue_{name}_scalef") or 1) for name in library["images"]}
    for name, scale in sorted(scales.items(), key=lambda entry: entry[1]):
        height, width = np.shape(library["images"][name])[:2]
        inside = left > -0.1 * width and top > -0.1 * height and right < 1.1 * width and bottom < 1.1 * height
        if scale <= 0.5 and inside and max((right - left) / width, (bottom - top) / height) > 0.3:
            found = f"x {left:.4g} to {right:.4g}, y {top:.4g} to {bottom:.4g}"
            what = f"the coordinates ({found}) lie within image {name!r}, as if they had been scaled to it already"
            msg = f"{what}: divide them by tissue_{name}_scalef ({scale:.4g}) before s2s.pp.grid"
            warnings.warn(msg, UserWarning, stacklevel=4)
            return


def draw_tissue(
    axis: Axes, lattice: Lattice, underlay: Underlay | None, colour: str, *, img_alpha: float, rasterized: bool
) -> None:
    """Draw the image of the tissue or, without one, all cells in a colour."""
    if underlay is None:
        draw_cells(axis, site_polygons(lattice), facecolor=colour, zorder=0.5, rasterized=rasterized)
    else:
        draw_underlay(axis, underlay, img_alpha)


def draw_underlay(axis: Axes, underlay: Underlay, alpha: float, *, above: bool = False) -> None:
    """Draw an image below everything else, or `above` it, in axes whose limits are set."""
    pixels, (left, right, top, bottom) = underlay
    image = axis.imshow(pixels, cmap="gray", extent=(left, right, bottom, top), alpha=alpha, zorder=2 if above else -1)
    image.set_in_layout(False)


def micrometres_per_unit(adata: AnnData, section: SectionOnLattice, given: float | None) -> float | None:
    """Return how many micrometres a unit of the coordinates of a section measures, None where unknown or `given` as 0.

    From ``microns_per_pixel`` (Visium HD), from the distance of Visium spots, or from ``uns["spatial_unit"]``.
    """
    if given is not None:
        return check_number("scalebar_dx", given, least=0) or None
    try:
        factors = find_library(adata.uns.get("spatial"), section.name, "")["scalefactors"]
    except (KeyError, ValueError):
        factors = {}
    if "microns_per_pixel" in factors:
        return float(factors["microns_per_pixel"])
    grid = adata.uns[_keys.UNS][_keys.GRID]
    stride = int(grid.get(_keys.SECTIONS, {section.name: grid})[section.name].get("stride", 1))
    distance, (least, most) = VISIUM
    # `pp.grid` has divided both the distance and the diameter by the stride.
    diameter = float(factors.get("spot_diameter_fullres") or 0) / section.lattice.pitch
    if section.lattice.kind.name == "hex" and least < diameter < most:
        return distance / (stride * section.lattice.pitch)
    return 1.0 if re.match(r"[uµμ]m\b|micro(n|met)", str(adata.uns.get("spatial_unit", "")).lower()) else None


def draw_scale_bar(axis: Axes, micrometres: float) -> None:
    """Draw a bar of about a quarter of the width below axes whose limits are set."""
    left, right = axis.get_xlim()
    quarter = (right - left) * micrometres / 4
    decade = 10 ** np.floor(np.log10(quarter))
    length = float(decade * max(step for step in (1, 2, 5) if step * decade <= quarter * 1.0001))
    text = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    look = {"frameon": False, "size_vertical": (right - left) / 80, "fontproperties": FontProperties(size=7)}
    place = {"bbox_to_anchor": (0, 0), "bbox_transform": axis.transAxes, "pad": 0.2, "borderpad": 0, "sep": 2}
    axis.add_artist(AnchoredSizeBar(axis.transData, length / micrometres, text, "upper left", **look, **place))
