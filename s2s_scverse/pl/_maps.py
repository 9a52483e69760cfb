"""Maps in rows, with the colour bars that they share: `pl.compare`, `pl.uncertainty`, `pl.image_features`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from textwrap import fill
from typing import Literal

import numpy as np
from anndata import AnnData
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .._checks import check_int, check_number
from .._lattice import SectionOnLattice
from . import _drawing
from ._figure import GivenAxes, Shown, Titles, finish, make_axes

Scale = Literal["expression", "error", "SD", "component", "image"]
"""Values with one colour bar, which bears this name; ``"image"`` has neither."""
NOTHING = "#dcdcdc"  # sites without a value, where there is no image
TRANSLUCENT = 0.8  # default opacity of sites on an image
BAR = (1.04, 0.07, 0.045, 0.86)  # left, bottom, width and height of a colour bar, in fractions of the panel beside it
INCHES_A_CHARACTER = 0.0075  # width of a character per point of its size


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of one gene."""

    title: str
    by_site: NDArray[np.float32]  # (n_sites,), NaN where nothing is to be shown
    scale: Scale = "expression"
    note: str = ""  # small text below the map
    width: float = 1.0  # of a cell, in site spacings: the distance between the sites that have values


@dataclass(frozen=True, eq=False)
class MapRow:
    """Maps of one gene of one section; panels of one scale stand side by side."""

    gene: str
    section: SectionOnLattice
    panels: Sequence[Panel]
    limits: Mapping[Scale, tuple[float, float]]  # range of the colours on each scale


@dataclass(frozen=True)
class Look:
    """Appearance of maps, see :func:`s2s_scverse.pl.compare`."""

    unit: str
    title: Titles
    img: bool | str | None
    img_alpha: float
    bw: bool
    alpha: float | None
    scalebar_dx: float | None
    ncols: int
    figsize: tuple[float, float] | None
    rasterized: bool
    axes: GivenAxes
    show: bool | None
    return_fig: bool


def colour_limits(values: NDArray[np.float32], vmin: float | str, vmax: float | str) -> tuple[float, float]:
    """Return the range of colours of a gene from its measured values; extremes replace percentiles that agree."""
    low, high = _limit("vmin", vmin, values), _limit("vmax", vmax, values)
    fixed = not isinstance(vmin, str), not isinstance(vmax, str)
    if (all(fixed) and low >= high) or (not any(fixed) and low > high):
        msg = f"vmin must lie below vmax, found {vmin!r} and {vmax!r}"
        raise ValueError(msg)
    if low >= high:
        low, high = low if fixed[0] else float(values.min()), high if fixed[1] else float(values.max())
    if low >= high:
        return (high - 1, high) if fixed[1] else (low, low + 1)
    return low, high


def _limit(name: str, limit: float | str, values: NDArray[np.float32]) -> float:
    percentile = re.fullmatch(r"p(\d+(\.\d+)?)", limit) if isinstance(limit, str) else None
    if percentile and float(percentile[1]) <= 100:
        return float(np.percentile(values.astype(np.float64), float(percentile[1])))
    if isinstance(limit, bool) or not isinstance(limit, Real):
        msg = f"{name} must be a number or a percentile from 'p0' to 'p100', found {limit!r}"
        raise ValueError(msg) if isinstance(limit, str) else TypeError(msg)
    return float(limit)


def draw_maps(rows: Sequence[MapRow], adata: AnnData, cmaps: Mapping[Scale, str | Colormap], look: Look) -> Shown:
    """Draw the rows, `look.ncols` of them side by side."""
    check_number("alpha", TRANSLUCENT if look.alpha is None else look.alpha, least=0, most=1)
    check_number("img_alpha", look.img_alpha, least=0, most=1)
    ncols = min(check_int("ncols", look.ncols, least=1), len(rows))
    colours = {scale: colormaps.get_cmap(cmap) for scale, cmap in cmaps.items()}
    # The row of each section that has its scale bar: the last one, at the left of the figure if there is one.
    with_bar = {row.section.name: row for row in (*rows, *rows[::ncols])}
    places = {name: _place(adata, row, look) for name, row in with_bar.items()}
    size = look.figsize or _figure_size(places[rows[0].section.name], rows, ncols)
    shape = len(rows), len(rows[0].panels)
    axes = make_axes(look.axes, shape, size, ncols=ncols, layout="compressed", return_fig=look.return_fig)
    for number, (row, row_axes) in enumerate(zip(rows, axes, strict=True)):
        place, first = places[row.section.name], row_axes[0]
        for axis, panel in zip(row_axes, row.panels, strict=True):
            _drawing.set_frame(axis, place.box)
            underlay = {"image": place.underlay, "expression": place.beneath}.get(panel.scale)
            _draw_panel(axis, row, panel, underlay, colours.get(panel.scale), look)
            names = [str(row.section.name)] if axis is first and len(places) > 1 else []
            axis.set_xlabel(_fill(axis, "\n".join([*names, panel.note]), 8), fontsize=8, labelpad=3, parse_math=False)
            if number < ncols:
                axis.set_title(_fill(axis, panel.title, 10), fontsize=10, parse_math=False)
        points = 10 if len(row.gene) < 13 else 7.5
        first.set_ylabel(_fill(first, row.gene, points, "height"), fontsize=points, style="italic", parse_math=False)
        if row is with_bar[row.section.name] and place.micrometres is not None:
            _drawing.draw_scale_bar(first, place.micrometres)
            first.xaxis.labelpad = 16  # the note stands below the bar
        for scale in dict.fromkeys(panel.scale for panel in row.panels if panel.scale in row.limits):
            _draw_bar(row, row_axes, scale, look)
    return finish(axes, look.title, show=look.show, return_fig=look.return_fig)


def _place(adata: AnnData, row: MapRow, look: Look) -> _drawing.Place:
    margin = (max(panel.width for panel in row.panels) - 1) / 2 * row.section.lattice.pitch
    return _drawing.find_place(adata, row.section, look.img, look.scalebar_dx, bw=look.bw, margin=margin)


def _draw_panel(
    axis: Axes, row: MapRow, panel: Panel, underlay: _drawing.Underlay | None, colours: Colormap | None, look: Look
) -> None:
    """Draw the tissue or the image, and the values above."""
    lattice, has_value = row.section.lattice, np.isfinite(panel.by_site)
    _drawing.draw_tissue(axis, lattice, underlay, NOTHING, img_alpha=look.img_alpha, rasterized=look.rasterized)
    if panel.scale == "image":
        return
    _drawing.draw_cells(
        axis,
        _drawing.site_polygons(lattice, panel.width)[has_value],
        array=panel.by_site[has_value],
        cmap=colours,
        clim=row.limits[panel.scale],
        rasterized=look.rasterized,
    )
    if underlay is not None:
        # Translucent cells would show seams; the image once more above opaque ones gives the same colours.
        transparency = 1 - (TRANSLUCENT if look.alpha is None else look.alpha)
        _drawing.draw_underlay(axis, underlay, look.img_alpha * transparency, above=True)


def _figure_size(place: _drawing.Place, rows: Sequence[MapRow], ncols: int) -> tuple[float, float]:
    """Inches that give panels the area of a square of side 2."""
    left, right, top, bottom = place.box
    width, height = 2 * np.sqrt([(right - left) / (bottom - top), (bottom - top) / (right - left)])
    across = len(rows[0].panels) * (width + 0.1) + 0.7 * len(rows[0].limits) + 0.3
    return float(ncols * across), float(-(-len(rows) // ncols) * (height + 0.3) + 0.5)


def _fill(axis: Axes, text: str, fontsize: float, side: Literal["width", "height"] = "width") -> str:
    """Break text into lines that are no longer than a side of axes."""
    inches = getattr(axis.get_position(), side) * getattr(axis.figure.bbox, side) / axis.figure.dpi
    return "\n".join(fill(line, max(int(inches / (fontsize * INCHES_A_CHARACTER)), 10)) for line in text.splitlines())


def _draw_bar(row: MapRow, axes: NDArray[np.object_], scale: Scale, look: Look) -> None:
    """Draw the colour bar of the panels of one scale, pointed at the ends beyond which there are values."""
    group = [(axis, panel.by_site) for axis, panel in zip(axes, row.panels, strict=True) if panel.scale == scale]
    shown, (low, high) = np.concatenate([by_site for _, by_site in group]), row.limits[scale]
    extends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    first, last = group[0][0], group[-1][0]
    bar = first.figure.colorbar(
        first.collections[-1],
        cax=last.inset_axes(BAR),
        extend=extends[bool(np.any(shown < low)), bool(np.any(shown > high))],
        ticks=MaxNLocator(4, steps=[1, 2, 5, 10]),
    )
    bar.set_label(f"{scale} ({look.unit})" if look.unit else scale, fontsize=8, labelpad=3)
    bar.ax.tick_params(labelsize=7, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
        bar.solids.set_rasterized(look.rasterized)  # matplotlib makes a bitmap of smooth ones unasked
