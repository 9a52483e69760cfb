"""Drawing maps of genes in rows, with the colour bars they share."""

from dataclasses import dataclass
from itertools import groupby
from textwrap import fill
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._checks import check_positive
from ._cells import bounds, site_polygons
from ._figure import finished, hairline, new_figure
from ._layout import Box, Layout, plan_layout
from ._underlay import Underlay, check_opacity, draw_underlay, find_underlay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ._figure import Shown
    from ._maps_data import Limits, Maps, Panel, Scale

__all__ = ["NOTHING", "Look", "draw_maps"]

NOTHING = "#dcdcdc"
"""Sites without a value, where there is no image."""


@dataclass(frozen=True)
class Look:
    """How maps are drawn: see :func:`s2s_scverse.pl.compare`."""

    cmaps: "Mapping[Scale, str | Colormap]"
    unit: str | None
    panel_size: float
    img: bool | str
    img_alpha: float
    alpha: float
    rasterized: bool

    def __post_init__(self) -> None:
        check_positive("panel_size", self.panel_size)
        check_opacity("img_alpha", self.img_alpha)
        check_opacity("alpha", self.alpha)


def draw_maps(data: "Maps", spatial: object, look: Look, *, show: bool | None, return_fig: bool) -> "Shown":
    """Draw a row of maps for each gene; `spatial` is the entry of uns with the image."""
    polygons = site_polygons(data.section.lattice)
    underlay = find_underlay(spatial, data.section.name, look.img, bounds(polygons))
    bad = NOTHING if underlay is None else (0.0, 0.0, 0.0, 0.0)
    maps = {scale: _colour_map(cmap, bad) for scale, cmap in look.cmaps.items()}
    plan = _plan(data, polygons, look.panel_size)
    with new_figure(plan.size, managed=not return_fig) as figure:
        axes = _draw(figure, plan, data, polygons, maps, underlay, look)
        _label_bars(figure, plan, data, maps, look)
    return finished(figure, axes, show=show, return_fig=return_fig)


def _scales(panels: "tuple[Panel, ...]") -> "dict[Scale, list[Panel]]":
    """Group panels by the colour bar they share."""
    return {scale: list(group) for scale, group in groupby(panels, lambda panel: panel.scale)}


def _plan(data: "Maps", polygons: "NDArray[np.float64]", panel_size: float) -> Layout:
    first = data.rows[0].panels
    return plan_layout(
        np.ptp(polygons.reshape(-1, 2), axis=0),
        tuple(len(group) for group in _scales(first).values()),
        len(data.rows),
        panel_size=panel_size,
        notes=any(panel.note for row in data.rows for panel in row.panels),
        titles=[panel.title for panel in first],
        longest_name=max(len(row.gene) for row in data.rows),
    )


def _colour_map(name: "str | Colormap", bad: Any) -> "Colormap":
    import matplotlib as mpl

    colours = mpl.colormaps[name] if isinstance(name, str) else name
    if not isinstance(colours, mpl.colors.Colormap):
        msg = f"expected the name of a colour map, or a Colormap, found {name!r} ({type(name).__name__})"
        raise TypeError(msg)
    return colours.with_extremes(bad=bad)


def _draw(
    figure: "Figure",
    plan: Layout,
    data: "Maps",
    polygons: "NDArray[np.float64]",
    maps: "Mapping[Scale, Colormap]",
    underlay: Underlay | None,
    look: Look,
) -> "NDArray[np.object_]":
    """Draw all panels."""
    from matplotlib.colors import Normalize

    axes = np.empty((len(data.rows), len(data.rows[0].panels)), dtype=object)
    notes = any(panel.note for row in data.rows for panel in row.panels)
    for i, row in enumerate(data.rows):
        for j, panel in enumerate(row.panels):
            axis = axes[i, j] = figure.add_axes(plan.panels[i][j])
            norm = Normalize(*row.limits[panel.scale])
            _draw_sites(axis, polygons, panel.by_site, norm, maps[panel.scale], rasterized=look.rasterized)
            if underlay is not None:
                draw_underlay(axis, underlay, look.img_alpha)
            if underlay is not None and look.alpha < 1:
                # Translucent cells would show seams; the image once more above opaque ones gives the same colours.
                draw_underlay(axis, underlay, look.img_alpha * (1 - look.alpha), above=True)
            if panel.note:
                _write(axis, panel.note, (0.5, 1), (0, 3), size=8, ha="center", va="bottom")
            if i == 0:
                title = fill(panel.title, plan.characters)
                axis.set_title(title, fontsize=10, pad=16 if notes else 5, parse_math=False)
        _write(axes[i, 0], row.gene, (0, 0.5), (-6, 0), size=10, ha="right", va="center", rotation=90)
    return axes


def _draw_sites(
    axis: "Axes",
    polygons: "NDArray[np.float64]",
    values: "NDArray[np.float32]",
    norm: "Normalize",
    cmap: "Colormap",
    *,
    rasterized: bool,
) -> None:
    """Fill axes with the cells of a lattice, y pointing down; cells whose value is NaN take the map's bad colour."""
    from matplotlib.collections import PolyCollection

    left, right, top, bottom = bounds(polygons)
    radius = float(np.linalg.norm(polygons[0, 0] - polygons[0].mean(axis=0)))
    # Sites without a value come first, so that their edges cover no value.
    order = np.argsort(np.isfinite(values), kind="stable")
    cells = PolyCollection(
        cast("Sequence[NDArray[np.float64]]", polygons[order]),  # an array is what it takes fastest
        array=np.ma.masked_invalid(values[order]),
        norm=norm,
        cmap=cmap,
        edgecolors="face",
        linewidths=hairline(axis, radius / (right - left)),
        rasterized=rasterized,
    )
    axis.add_collection(cells, autolim=False)
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.set_axis_off()


def _write(
    axis: "Axes", text: str, at: tuple[float, float], offset: tuple[float, float], *, size: float, **style: Any
) -> None:
    axis.annotate(
        text,
        at,
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        fontsize=size,
        parse_math=False,
        **style,
    )


def _label_bars(figure: "Figure", plan: Layout, data: "Maps", maps: "Mapping[Scale, Colormap]", look: Look) -> None:
    """Draw the colour bars of every row."""
    unit = look.unit or ("log1p" if data.log1p else "")
    for row, boxes in zip(data.rows, plan.bars, strict=True):
        for box, (scale, panels) in zip(boxes, _scales(row.panels).items(), strict=True):
            label = f"{scale} ({unit})" if unit else scale
            shown = np.concatenate([panel.by_site for panel in panels])
            _draw_bar(figure, box, row.limits[scale], maps[scale], label, shown, rasterized=look.rasterized)


def _draw_bar(
    figure: "Figure",
    box: Box,
    limits: "Limits",
    cmap: "Colormap",
    label: str,
    shown: "NDArray[np.float32]",
    *,
    rasterized: bool,
) -> None:
    """Draw one colour bar, pointed at the ends beyond which there are values."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    below, above = bool(np.any(shown < limits[0])), bool(np.any(shown > limits[1]))
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    scale = ScalarMappable(Normalize(*limits), cmap)
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10])
    bar = figure.colorbar(scale, cax=figure.add_axes(box), extend=extend, ticks=ticks)
    bar.set_label(label, fontsize=8, labelpad=3)
    bar.ax.tick_params(labelsize=7, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
        bar.solids.set_rasterized(rasterized)  # matplotlib makes a bitmap of smooth ones unasked
