from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import _keys
from ._cells import site_polygons
from ._compare_data import Comparison, GeneRow, compare_data
from ._figure import finished, new_figure
from ._layout import Box, Layout, plan_layout

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ._figure import Shown

__all__ = ["compare"]

NOTHING = "#dcdcdc"
"""Sites without a value."""


def compare(
    adata: "AnnData",
    genes: str | Sequence[str],
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library: str | None = None,
    unit: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    cmap: "str | Colormap" = "viridis",
    error_cmap: "str | Colormap" = "RdBu_r",
    panel_size: float = 2.0,
    rasterized: bool = False,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw genes as measured, as imputed and, where spots were held out, their truth and the error.

    A row per gene: measured | imputed, one panel per key | truth | imputed - truth, one panel per key. The last two
    kinds appear only if spots are held out (:func:`s2s_scverse.pp.sparsify`); above the errors stands Pearson's
    correlation at these spots, unless the run saw some of them. Every site is drawn as the cell of its lattice (a
    square, a square on its tip or a hexagon) where the lattice has it in the section; y points down, as in images.
    Sites without a value are grey.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, with imputed layers.
    genes
        Genes to draw.
    keys
        Imputed layers to draw.
    layer
        Layer that holds measured and true values, or ``"X"``. By default what the runs in `keys` read.
    library
        Which section to draw, if `adata` holds several.
    unit
        Unit of the values, for the colour bars. ``"log1p"`` by default if X was transformed by :func:`scanpy.pp.log1p`.
    percentiles
        Percentiles of a gene's **measured** values between which its colours run, in all panels. Colours of errors run
        over as wide a range, centred at 0. Held-out values change neither.
    cmap
        Colour map of values.
    error_cmap
        Diverging colour map of errors.
    panel_size
        Size of a panel in inches (side of a square one).
    rasterized
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    show
        Whether to show the figure; by default as ``scanpy.settings.autoshow`` says.
    return_fig
        Return the figure, which is then not shown and unknown to pyplot.

    Returns
    -------
    Axes of the panels, an object array of shape (n_genes, n_panels); `None` if the figure is shown; the figure with
    `return_fig`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, a layer or the section does not exist.
    ValueError
        If there are several sections and `library` does not say which, a layer holds no values of a gene, the runs read
        different layers, no site is measured, or `percentiles` or `panel_size` make no sense.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> dense.layers["guess"] = dense.X.toarray()
    >>> figure = s2s.pl.compare(dense, "domain_1", keys="guess", return_fig=True)
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['measured', 'imputed', 'truth', 'imputed − truth']
    """
    if not (np.isfinite(panel_size) and panel_size > 0):
        msg = f"panel_size must be positive and finite, found {panel_size!r}"
        raise ValueError(msg)
    data = compare_data(adata, genes, keys=keys, layer=layer, library=library, percentiles=percentiles)
    polygons = site_polygons(data.lattice)
    plan = _plan(data, polygons, panel_size)
    maps = _colour_map(cmap), _colour_map(error_cmap)
    with new_figure(plan.size, managed=not return_fig) as figure:
        axes = _draw(figure, plan, data, polygons, maps, rasterized=rasterized)
        _label_bars(figure, plan, data, maps, unit or ("log1p" if data.log1p else ""))
    return finished(figure, axes, show=show, return_fig=return_fig)


def _plan(data: Comparison, polygons: "NDArray[np.float64]", panel_size: float) -> Layout:
    first = data.rows[0].panels
    errors = sum(panel.error for panel in first)
    return plan_layout(
        np.ptp(polygons.reshape(-1, 2), axis=0),
        (len(first) - errors, errors) if errors else (len(first),),
        len(data.rows),
        panel_size=panel_size,
        notes=any(panel.note for panel in first),
        titles=[panel.title for panel in first],
        longest_name=max(len(row.gene) for row in data.rows),
    )


def _colour_map(name: "str | Colormap") -> "Colormap":
    import matplotlib as mpl

    colours = mpl.colormaps[name] if isinstance(name, str) else name
    return colours.with_extremes(bad=NOTHING)


def _ranges(row: GeneRow) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of the colours of values and of errors."""
    return row.limits, (-row.error_limit, row.error_limit)


def _draw(
    figure: "Figure",
    plan: Layout,
    data: Comparison,
    polygons: "NDArray[np.float64]",
    maps: "tuple[Colormap, Colormap]",
    *,
    rasterized: bool,
) -> "NDArray[np.object_]":
    """Draw all panels."""
    from matplotlib.colors import Normalize

    axes = np.empty((len(data.rows), len(data.rows[0].panels)), dtype=object)
    for i, row in enumerate(data.rows):
        norms = [Normalize(*limits) for limits in _ranges(row)]
        for j, panel in enumerate(row.panels):
            axis = axes[i, j] = figure.add_axes(plan.panels[i][j])
            draw_sites(axis, polygons, panel.by_site, norms[panel.error], maps[panel.error], rasterized=rasterized)
            if panel.note:
                _write(axis, panel.note, (0.5, 1), (0, 3), size=8, ha="center", va="bottom")
            if i == 0:
                title = fill(panel.title, plan.characters)
                axis.set_title(title, fontsize=10, pad=16 if any(p.note for p in row.panels) else 5, parse_math=False)
        _write(axes[i, 0], row.gene, (0, 0.5), (-6, 0), size=10, ha="right", va="center", rotation=90)
    return axes


def draw_sites(
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

    corners = polygons.reshape(-1, 2)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    # Sites without a value come first, so that their edges cover no value.
    order = np.argsort(np.isfinite(values), kind="stable")
    cells = PolyCollection(
        cast("Sequence[NDArray[np.float64]]", polygons[order]),  # an array is what it takes fastest
        array=np.ma.masked_invalid(values[order]),
        norm=norm,
        cmap=cmap,
        edgecolors="face",
        linewidths=_hairline(axis, float(np.linalg.norm(polygons[0, 0] - polygons[0].mean(axis=0)) / (right - left))),
        rasterized=rasterized,
    )
    axis.add_collection(cells, autolim=False)
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.set_axis_off()


def _hairline(axis: "Axes", fraction: float) -> float:
    """Width of edges, in points, for cells whose corners lie a fraction of the axes' width from their centre.

    Edges in the colour of the cell close the seams that antialiasing leaves between cells; wider ones than these would
    make small cells look larger than they are.
    """
    radius = fraction * axis.get_position().width * axis.figure.bbox.width * 72 / axis.figure.dpi
    return min(0.4, radius / 5)


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


def _label_bars(figure: "Figure", plan: Layout, data: Comparison, maps: "tuple[Colormap, Colormap]", unit: str) -> None:
    """Draw the colour bars of every row: values, and errors if there are any."""
    suffix = f" ({unit})" if unit else ""
    for row, boxes in zip(data.rows, plan.bars, strict=True):
        for box, limits, cmap, label in zip(boxes, _ranges(row), maps, ("expression", "error"), strict=False):
            shown = [panel.by_site for panel in row.panels if panel.error == (label == "error")]
            _draw_bar(figure, box, limits, cmap, label + suffix, np.concatenate(shown))


def _draw_bar(
    figure: "Figure",
    box: Box,
    limits: tuple[float, float],
    cmap: "Colormap",
    label: str,
    shown: "NDArray[np.float32]",
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
