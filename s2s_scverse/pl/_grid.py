from collections.abc import Sequence
from textwrap import fill
from typing import Any, Final

import numpy as np
from anndata import AnnData
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_mask
from .._checks import check_coordinates, check_int, check_number
from .._lattice import SectionOnLattice
from . import _drawing
from ._figure import GivenAxes, Shown, finish, make_axes

Points = dict[str, NDArray[np.float64]]  # x and y (n, 2) of the sites of each kind
MARKS: Final = {"measured": ("#0072b2", 0.85), "held out": ("#e69f00", 0.85), "unmeasured": ("#000000", 0.3)}
"""Colour (from the colour-blind safe palette of Okabe and Ito) and diameter, in distances of neighbouring sites."""
TISSUE: Final = "#eeeeee"  # where there is no image
MAX_MARKS: Final = 1000
"""With more sites, marks are too small to be told apart and cause a moiré pattern: an inset shows some of them."""
INSET: Final = (1.05, 0.0, 0.62, 0.62)  # left, bottom, width and height of the inset, in fractions of the panel
SHOWN: Final = 7.0  # side of the part that the inset shows, in distances of neighbouring spots


def grid(
    adata: AnnData,
    *,
    library_id: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    img: bool | str | None = None,
    img_alpha: float = 1.0,
    bw: bool = True,
    alpha: float = 1.0,
    scalebar_dx: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    ax: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the lattice of a section: its measured, held-out and unmeasured sites.

    Measured spots are blue discs, held-out spots (:func:`s2s_scverse.pp.sparsify`) orange discs, and unmeasured sites
    black dots. The line is the outline of the tissue and of its holes. y points down, as in images. Spots are drawn at
    their coordinates and the outline at lattice positions: if they disagree, the lattice does not fit the section.
    Above 1,000 sites, the measured area is blue, and an inset shows the sites of a small part.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several: one panel each.
    library_id
        Section to draw, all by default.
    spatial_key
        Key of `adata.obsm` with x and y of every site.
    alpha
        Opacity of the sites, 0 to 1.
    title
        Titles of the panels, by default the names of the section and of the lattice.
    ncols
        Number of panels side by side.
    ax
        Axes to draw into, one for each section; the legend stands to their right.
    img, img_alpha, bw, scalebar_dx, figsize, rasterized, show, return_fig
        As in :func:`s2s_scverse.pl.compare`: by default, the image of the tissue is drawn beneath if there is one.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_sections,).

    Raises
    ------
    KeyError
        If `adata` has no lattice, or the section, the coordinates or the image do not exist.
    TypeError
        If `ax` is no axes, or `img` neither a truth value nor a name.
    ValueError
        If the section lies outside the requested image, or an opacity is out of range.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=2)
    >>> axis = s2s.pl.grid(dense, show=False)
    >>> [text.get_text() for text in axis.get_legend().get_texts()]
    ['measured (314)', 'unmeasured (919)', 'outline']
    """
    check_number("alpha", alpha, least=0, most=1)
    check_number("img_alpha", img_alpha, least=0, most=1)
    adata, sections = _drawing.chosen_sections(adata, library_id)
    sites = [grid_sites(adata, section, spatial_key) for section in sections]
    places = [
        _drawing.find_place(adata, each, img, scalebar_dx, bw=bw, margin=each.lattice.pitch / 2) for each in sections
    ]
    left, right, top, bottom = places[0].box
    width, height = 4 * np.array([right - left, bottom - top]) / max(right - left, bottom - top)
    ncols = min(check_int("ncols", ncols, least=1), len(sections))
    size = figsize or (ncols * (width + max(1.7, INSET[2] * width)), -(-len(sections) // ncols) * (height + 0.4))
    shape = len(sections), 1
    axes = make_axes(ax, shape, size, ncols=ncols, layout="compressed", return_fig=return_fig)[:, 0]
    for axis, section, points, place in zip(axes, sections, sites, places, strict=True):
        _drawing.set_frame(axis, place.box)
        _draw_section(axis, section, points, place, alpha, img_alpha=img_alpha, rasterized=rasterized)
        names = [] if section.name is None else [section.name]
        # From the left: a name wider than the section reaches over the legend.
        name = fill(", ".join([*names, f"{section.lattice.kind.name} lattice"]), 34)
        axis.set_title(name, fontsize=10, loc="left", parse_math=False)
        if place.micrometres is not None:
            _drawing.draw_scale_bar(axis, place.micrometres)
    return finish(axes, title, loc="left", show=show, return_fig=return_fig)


def grid_sites(adata: AnnData, section: SectionOnLattice, spatial_key: str = _keys.SPATIAL) -> Points:
    """Sort sites into measured, held out and unmeasured ones; kinds without sites are left out."""
    at = check_coordinates(adata, spatial_key)[section.rows]
    measured, held_out = section.measured, read_mask(adata, _keys.HELD_OUT)[section.rows]
    kinds = {"measured": measured, "held out": held_out & ~measured, "unmeasured": ~measured & ~held_out}
    return {kind: at[sites] for kind, sites in kinds.items() if sites.any()}


def _draw_section(
    axis: Axes, section: SectionOnLattice, points: Points, place: _drawing.Place, alpha: float, **tissue: Any
) -> None:
    """Draw a section, its outline and the legend; the sites, or the measured area and an inset with some sites."""
    lattice, underlay, rasterized = section.lattice, place.beneath, tissue["rasterized"]
    detail, dense = axis, len(lattice) > MAX_MARKS
    if dense:
        spacing = lattice.spot_pitch(section.measured)
        area: Any = {"facecolors": MARKS["measured"][0], "edgecolors": "none", "zorder": 1.5, "rasterized": rasterized}
        spots = _drawing.site_polygons(lattice, spacing)[section.measured]
        _drawing.draw_cells(axis, spots, alpha=alpha * (0.4 if underlay is None else 0.25), **area)
        middle = points.get("measured", lattice.coordinates)
        middle = middle[np.linalg.norm(middle - middle.mean(axis=0), axis=1).argmin()]
        detail = _inset(axis, middle, spacing * lattice.pitch * SHOWN / 2)
    for each in (axis, detail)[: 1 + dense]:
        _drawing.draw_tissue(each, lattice, underlay, TISSUE, **tissue)
        lines = list(_drawing.outline(lattice))
        edges = LineCollection(lines, colors=rcParams["axes.edgecolor"], linewidths=0.8, capstyle="round", zorder=3)
        edges.set_label("outline")
        _drawing.add_collection(each, edges)
    handles: list[Line2D | LineCollection] = []
    for kind, at in points.items():
        colour, diameter = MARKS[kind]
        width = [diameter * lattice.pitch]
        centres: Any = {"units": "xy", "offsets": at, "offset_transform": detail.transData}
        rim = "none" if underlay is None else "white"  # blue and black stand out from a stain with a rim
        look: Any = {"facecolors": colour, "edgecolors": rim, "alpha": alpha, "rasterized": rasterized}
        hairline = _drawing.hairline(detail, lattice.pitch / 2)
        discs = EllipseCollection(width, width, [0], linewidths=hairline, **centres, **look)
        _drawing.add_collection(detail, discs)
        mark = Line2D([], [], linestyle="", marker="o", markersize=8 * diameter, markeredgewidth=0)
        # Beside the tissue, black is invisible on the background of dark styles.
        mark.set(color=rcParams["axes.edgecolor"] if kind == "unmeasured" else colour)
        mark.set(alpha=alpha, label=f"{kind} ({len(at):,})")
        handles.append(mark)
    beside: Any = {"loc": "upper left", "bbox_to_anchor": (1, 1), "borderaxespad": 0.3}
    axis.legend(handles=[*handles, edges], frameon=False, fontsize=8, handlelength=1.2, **beside)


def _inset(axis: Axes, middle: NDArray[np.float64], reach: float) -> Axes:
    """Add an inset that shows what lies around a point, and mark its part of the section."""
    inset = axis.inset_axes(INSET)
    (left, top), (right, bottom) = middle - reach, middle + reach
    _drawing.set_frame(inset, (left, right, top, bottom))
    inset.spines[:].set_visible(True)
    marked: Any = axis.indicate_inset_zoom(inset, edgecolor="black", alpha=1)
    for line in marked.connectors:  # they cross on an inverted axis
        line.set_visible(False)
    return inset
