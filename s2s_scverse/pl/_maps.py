"""Maps in rows, with the colour bars they share: `pl.compare`, `pl.uncertainty`, `pl.image_features`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from textwrap import fill
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .._adata import read_values
from .._checks import check_number, few
from .._lattice import SectionOnLattice
from ._cells import draw_cells, lay_out, set_frame
from ._figure import GivenAxes, Shown, Titles, finish, make_axes
from ._underlay import Box, draw_underlay

__all__ = [
    "NOTHING",
    "GeneRow",
    "Look",
    "Maps",
    "Panel",
    "colour_limits",
    "draw_maps",
    "read_imputed",
]

Scale = Literal["expression", "error", "SD", "component"]
"""What values are, and so which colour bar they have and what stands beside it."""
NOTHING = "#dcdcdc"
"""Sites without a value, where there is no image."""
BAR = (1.04, 0.07, 0.045, 0.86)
"""Left, bottom, width and height of a colour bar, in fractions of the panel beside it."""
INCHES_A_CHARACTER = 0.08


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of one gene."""

    title: str
    by_site: NDArray[np.float32]
    """(n_sites,), NaN where nothing is to be shown."""
    scale: Scale = "expression"
    note: str = ""
    """Small text below the map."""


@dataclass(frozen=True, eq=False)
class GeneRow:
    """The maps of one gene; panels of one scale stand side by side."""

    gene: str
    panels: tuple[Panel, ...]
    limits: Mapping[Scale, tuple[float, float]]
    """Range of the colours on each scale."""


@dataclass(frozen=True, eq=False)
class Maps:
    """All rows, and the section they lie on."""

    section: SectionOnLattice
    rows: tuple[GeneRow, ...]
    log1p: bool
    """Whether scanpy says that the values were log-transformed."""


@dataclass(frozen=True)
class Look:
    """How maps are drawn: see :func:`s2s_scverse.pl.compare`."""

    unit: str | None
    title: Titles
    img: bool | str | None
    img_alpha: float
    alpha: float
    figsize: tuple[float, float] | None
    rasterized: bool
    axes: GivenAxes
    show: bool | None
    return_fig: bool


def read_imputed(adata: AnnData, key: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return imputed values (n_sites, n_genes); refuse genes without any."""
    values = read_values(adata, np.ones(adata.n_obs, dtype=bool), columns, layer=key, finite=False)
    empty = adata.var_names[columns[np.isnan(values).all(axis=0)]]
    if len(empty):
        msg = (
            f"adata.layers[{key!r}] holds no values of {few(empty)}: they were not asked for when it was made; impute "
            "them too, or choose other genes"
        )
        raise ValueError(msg)
    return values


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


def draw_maps(data: Maps, spatial: object, cmaps: Mapping[Scale, str | Colormap], look: Look) -> Shown:
    """Draw a row of maps for each gene; `spatial` is the entry of uns with the image."""
    check_number("alpha", look.alpha, least=0, most=1)
    check_number("img_alpha", look.img_alpha, least=0, most=1)
    polygons, box, underlay = lay_out(data.section, spatial, look.img)
    bad = NOTHING if underlay is None else (0.0, 0.0, 0.0, 0.0)
    colours = {scale: _colour_map(cmap, bad) for scale, cmap in cmaps.items()}
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
                cmap=colours[panel.scale],
                clim=row.limits[panel.scale],
                rasterized=look.rasterized,
            )
            if underlay is not None:
                draw_underlay(axis, underlay, look.img_alpha)
                # Translucent cells would show seams; the image once more above opaque ones gives the same colours.
                draw_underlay(axis, underlay, look.img_alpha * (1 - look.alpha), above=True)
            axis.set_xlabel(_fill(axis, panel.note), fontsize=8, labelpad=3, parse_math=False)
            if row is data.rows[0]:
                axis.set_title(_fill(axis, panel.title), fontsize=10, parse_math=False)
        row_axes[0].set_ylabel(row.gene, fontsize=10 if len(row.gene) < 13 else 7.5, parse_math=False)
        for scale in dict.fromkeys(panel.scale for panel in row.panels):
            _draw_bar(row, row_axes, scale, unit, rasterized=look.rasterized)
    return finish(axes, look.title, show=look.show, return_fig=look.return_fig)


def _figure_size(box: Box, shape: tuple[int, int], n_bars: int) -> tuple[float, float]:
    """Inches that give panels the area of a square of side 2."""
    left, right, top, bottom = box
    width, height = 2 * np.sqrt([(right - left) / (bottom - top), (bottom - top) / (right - left)])
    return float(shape[1] * (width + 0.1) + 0.7 * n_bars + 0.3), float(shape[0] * (height + 0.3) + 0.3)


def _fill(axis: Axes, text: str) -> str:
    """Break text into lines that are no wider than axes."""
    width = axis.get_position().width * axis.figure.bbox.width / axis.figure.dpi
    return fill(text, max(int(width / INCHES_A_CHARACTER), 10))


def _colour_map(name: str | Colormap, bad: Any) -> Colormap:
    colours = colormaps[name] if isinstance(name, str) else name
    if not isinstance(colours, Colormap):
        msg = f"expected the name of a colour map, or a Colormap, found {name!r} ({type(name).__name__})"
        raise TypeError(msg)
    return colours.with_extremes(bad=bad)


def _draw_bar(row: GeneRow, axes: NDArray[np.object_], scale: Scale, unit: str, *, rasterized: bool) -> None:
    """Draw the colour bar of the panels of one scale, pointed at the ends beyond which there are values."""
    group = [(axis, panel.by_site) for axis, panel in zip(axes, row.panels, strict=True) if panel.scale == scale]
    shown, (low, high) = np.concatenate([by_site for _, by_site in group]), row.limits[scale]
    extends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    first, last = group[0][0], group[-1][0]
    bar = first.figure.colorbar(
        first.collections[0],
        cax=last.inset_axes(BAR),
        extend=extends[bool(np.any(shown < low)), bool(np.any(shown > high))],
        ticks=MaxNLocator(4, steps=[1, 2, 5, 10]),
    )
    bar.set_label(f"{scale} ({unit})" if unit else scale, fontsize=8, labelpad=3)
    bar.ax.tick_params(labelsize=7, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
        bar.solids.set_rasterized(rasterized)  # matplotlib makes a bitmap of smooth ones unasked
