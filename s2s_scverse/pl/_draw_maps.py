"""Drawing maps of genes in rows, with the colour bars they share."""

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._checks import check_number
from ._cells import bounds, site_polygons
from ._figure import finish, hairline, make_axes, set_titles
from ._underlay import draw_underlay, find_underlay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Colormap
    from numpy.typing import NDArray

    from ._cells import Box
    from ._figure import GivenAxes, Shown
    from ._maps_data import GeneRow, Maps, Scale

__all__ = ["NOTHING", "Look", "draw_cells", "draw_maps", "panel_box", "set_frame"]

NOTHING = "#dcdcdc"
"""Sites without a value, where there is no image."""
BAR = (1.04, 0.07, 0.045, 0.86)
"""Left, bottom, width and height of a colour bar, in fractions of the panel beside it."""
THINNEST = 1 / 3
"""Shorter over longer side of a panel, at least: room for its title or the label of its colour bar."""
INCHES_A_CHARACTER = 0.08


@dataclass(frozen=True)
class Look:
    """How maps are drawn: see :func:`s2s_scverse.pl.compare`."""

    cmaps: "Mapping[Scale, str | Colormap]"
    unit: str | None
    title: "str | Sequence[str] | None"
    img: bool | str
    img_alpha: float
    alpha: float
    figsize: tuple[float, float] | None
    rasterized: bool
    axes: "GivenAxes"
    show: bool | None
    return_fig: bool


def draw_maps(data: "Maps", spatial: object, look: Look) -> "Shown":
    """Draw a row of maps for each gene; `spatial` is the entry of uns with the image."""
    for name in ("alpha", "img_alpha"):
        check_number(name, getattr(look, name), least=0, most=1)
    polygons = site_polygons(data.section.lattice)
    box = panel_box(polygons)
    underlay = find_underlay(spatial, data.section.name, look.img, bounds(polygons))
    bad = NOTHING if underlay is None else (0.0, 0.0, 0.0, 0.0)
    cmaps = {scale: _colour_map(cmap, bad) for scale, cmap in look.cmaps.items()}
    unit = look.unit or ("log1p" if data.log1p else "")
    shape = len(data.rows), len(data.rows[0].panels)
    size = look.figsize or _figure_size(box, shape, len({panel.scale for panel in data.rows[0].panels}))
    axes = make_axes(look.axes, shape, size, layout="compressed", return_fig=look.return_fig)
    for row, row_axes in zip(data.rows, axes, strict=True):
        for axis, panel in zip(row_axes, row.panels, strict=True):
            set_frame(axis, box)
            # Sites without a value come first, so that their edges cover no value.
            order = np.argsort(np.isfinite(panel.by_site), kind="stable")
            draw_cells(
                axis,
                polygons[order],
                array=np.ma.masked_invalid(panel.by_site[order]),
                cmap=cmaps[panel.scale],
                clim=row.limits[panel.scale],
                rasterized=look.rasterized,
            )
            if underlay is not None:
                draw_underlay(axis, underlay, look.img_alpha)
                # Translucent cells would show seams; the image once more above opaque ones gives the same colours.
                draw_underlay(axis, underlay, look.img_alpha * (1 - look.alpha), above=True)
            axis.set_xlabel(_fill(axis, panel.note), fontsize=8, labelpad=3, parse_math=False)
        row_axes[0].set_ylabel(row.gene, fontsize=10 if len(row.gene) < 13 else 7.5, parse_math=False)
        for scale in dict.fromkeys(panel.scale for panel in row.panels):
            _draw_bar(row, row_axes, scale, unit, rasterized=look.rasterized)
    for axis, panel in zip(axes[0], data.rows[0].panels, strict=True):
        axis.set_title(_fill(axis, panel.title), fontsize=10, parse_math=False)
    set_titles(axes[0], look.title)
    return finish(axes, show=look.show, return_fig=look.return_fig)


def panel_box(polygons: "NDArray[np.float64]", margin: float = 0.0) -> "Box":
    """Return the limits of a panel: those of the cells, a margin, and room beside thin or flat sections."""
    left, right, top, bottom = bounds(polygons)
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    x = margin + max(THINNEST * height - width, 0) / 2
    y = margin + max(THINNEST * width - height, 0) / 2
    return left - x, right + x, top - y, bottom + y


def set_frame(axis: "Axes", box: "Box") -> None:
    """Prepare axes for a map: y points down, both axes have one scale, nothing around."""
    left, right, top, bottom = box
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor="none")
    axis.spines[:].set_visible(False)


def draw_cells(axis: "Axes", polygons: "NDArray[np.float64]", **style: Any) -> "PolyCollection":
    """Fill the cells of a lattice, in axes whose limits are set."""
    from matplotlib.collections import PolyCollection

    left, right = axis.get_xlim()
    radius = float(np.linalg.norm(polygons[0, 0] - polygons[0].mean(axis=0)))
    verts = cast("Sequence[NDArray[np.float64]]", polygons)  # an array is what it takes fastest
    cells = PolyCollection(verts, edgecolors="face", linewidths=hairline(axis, radius / (right - left)), **style)
    cells.set_in_layout(False)  # they never leave the axes, and measuring them all takes long
    axis.add_collection(cells, autolim=False)
    return cells


def _figure_size(box: "Box", shape: tuple[int, int], n_bars: int) -> tuple[float, float]:
    """Inches that give panels the area of a square of side 2."""
    left, right, top, bottom = box
    width, height = 2 * np.sqrt([(right - left) / (bottom - top), (bottom - top) / (right - left)])
    return float(shape[1] * (width + 0.1) + 0.7 * n_bars + 0.3), float(shape[0] * (height + 0.3) + 0.3)


def _fill(axis: "Axes", text: str) -> str:
    """Break text into lines that are no wider than axes."""
    width = axis.get_position().width * axis.figure.bbox.width / axis.figure.dpi
    return fill(text, max(int(width / INCHES_A_CHARACTER), 10))


def _colour_map(name: "str | Colormap", bad: Any) -> "Colormap":
    import matplotlib as mpl

    colours = mpl.colormaps[name] if isinstance(name, str) else name
    if not isinstance(colours, mpl.colors.Colormap):
        msg = f"expected the name of a colour map, or a Colormap, found {name!r} ({type(name).__name__})"
        raise TypeError(msg)
    return colours.with_extremes(bad=bad)


def _draw_bar(row: "GeneRow", axes: "NDArray[np.object_]", scale: "Scale", unit: str, *, rasterized: bool) -> None:
    """Draw the colour bar of the panels of one scale, pointed at the ends beyond which there are values."""
    from matplotlib.ticker import MaxNLocator

    group = [axis for axis, panel in zip(axes, row.panels, strict=True) if panel.scale == scale]
    shown = np.concatenate([panel.by_site for panel in row.panels if panel.scale == scale])
    below, above = (bool(np.any(beyond)) for beyond in (shown < row.limits[scale][0], shown > row.limits[scale][1]))
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10])
    bar = group[0].figure.colorbar(group[0].collections[0], cax=group[-1].inset_axes(BAR), extend=extend, ticks=ticks)
    bar.set_label(f"{scale} ({unit})" if unit else scale, fontsize=8, labelpad=3)
    bar.ax.tick_params(labelsize=7, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
        bar.solids.set_rasterized(rasterized)  # matplotlib makes a bitmap of smooth ones unasked
