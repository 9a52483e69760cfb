from dataclasses import dataclass
from textwrap import fill
from typing import Final, cast

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_mask, read_section
from .._checks import check_coordinates, check_number
from .._lattice import SectionOnLattice
from ._cells import draw_cells, hairline, lay_out, outline, set_frame
from ._figure import finish, make_axes
from ._underlay import draw_underlay

__all__ = ["GridSites", "grid", "grid_sites"]

MARKS: Final = {"measured": ("#0072b2", 0.85), "held out": ("#e69f00", 0.85), "unmeasured": ("#000000", 0.3)}
"""Colour (from the colour-blind safe palette of Okabe and Ito) and diameter, in distances of neighbouring sites."""
TISSUE: Final = "#eeeeee"
"""Colour of the tissue where there is no image."""


@dataclass(frozen=True, eq=False)
class GridSites:
    """What `pl.grid` shows, in the units of the coordinates."""

    section: SectionOnLattice
    points: dict[str, NDArray[np.float64]]
    """x and y (n, 2) of the sites of each kind; kinds without sites are left out."""


def grid_sites(adata: AnnData, *, spatial_key: str = _keys.SPATIAL, library_id: str | None = None) -> GridSites:
    """Sort sites into measured, held out and unmeasured ones; see :func:`s2s_scverse.pl.grid`."""
    adata, section = read_section(adata, library_id)
    at = check_coordinates(adata, spatial_key)
    measured, held_out = (read_mask(adata, key) for key in (_keys.MEASURED, _keys.HELD_OUT))
    kinds = {"measured": measured, "held out": held_out & ~measured, "unmeasured": ~measured & ~held_out}
    return GridSites(section, {kind: at[sites] for kind, sites in kinds.items() if sites.any()})


def grid(
    adata: AnnData,
    *,
    library_id: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    img: bool | str | None = None,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Draw the lattice of a section: its measured, held-out and unmeasured sites.

    Measured spots are blue discs, spots held out (:func:`s2s_scverse.pp.sparsify`) orange ones, unmeasured sites black
    dots; the line is the outline of the tissue, around the cells of all sites and around its holes. y points down, as
    in images. Spots are drawn where they were measured, the outline where the lattice has it: where both disagree, the
    lattice is not that of the section.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    library_id
        Which section to draw, if `adata` holds several.
    spatial_key
        Key of `adata.obsm` with x and y of every site.
    img
        Image of the tissue to draw below: True for the one of the highest resolution in ``adata.uns["spatial"]``, or
        its name there (``"lowres"``), False for none. By default there is one if `adata` has it.
    img_alpha, alpha
        Opacity of the image and of the sites, 0 to 1.
    title, figsize
        Title, by default the names of the section and of the lattice; width and height of the figure in inches.
    rasterized
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    ax
        Axes to draw into; the legend stands to their right.
    show, return_fig
        As in :func:`s2s_scverse.pl.compare`.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the axes.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or the section, the coordinates or the image do not exist.
    TypeError
        If `ax` is no axes, or `img` neither a truth value nor a name.
    ValueError
        If there are several sections and `library_id` does not say which, the section lies beside the image asked for,
        or an opacity makes no sense.

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
    data = grid_sites(adata, spatial_key=spatial_key, library_id=library_id)
    lattice = data.section.lattice
    polygons, box, underlay = lay_out(data.section, adata.uns.get("spatial"), img, margin=lattice.pitch / 2)
    left, right, top, bottom = box
    width, height = 4 * np.array([right - left, bottom - top]) / max(right - left, bottom - top)
    size = figsize or (width + 1.7, height + 0.3)
    axes = make_axes(ax, (1, 1), size, layout="compressed", return_fig=return_fig)
    axis: Axes = axes[0, 0]
    set_frame(axis, box)
    if underlay is None:
        draw_cells(axis, polygons, facecolor=TISSUE, zorder=0.5, rasterized=rasterized)
    else:
        draw_underlay(axis, underlay, img_alpha)
    _draw_sites(axis, data, alpha, rim=underlay is not None, rasterized=rasterized)
    name = f"{lattice.kind.name} lattice"
    name = name if data.section.name is None else f"{data.section.name}, {name}"
    # From the left: a name wider than the section reaches over the legend.
    axis.set_title(fill(title or name, 34), fontsize=10, loc="left", parse_math=False)
    shown = finish(axes, None, show=show, return_fig=return_fig)
    return axis if shown is axes else cast("Figure | None", shown)


def _draw_sites(axis: Axes, data: GridSites, alpha: float, *, rim: bool, rasterized: bool) -> None:
    """Draw sites as discs, the outline around them, and the legend."""
    lattice = data.section.lattice
    handles = []
    for kind, points in data.points.items():
        colour, diameter = MARKS[kind]
        discs = EllipseCollection(
            *([diameter * lattice.pitch], [diameter * lattice.pitch], [0]),
            units="xy",
            offsets=points,
            offset_transform=axis.transData,
            facecolors=colour,
            edgecolors="white" if rim else "none",  # blue and black stand out from a dark stain only with a rim
            linewidths=hairline(axis, lattice.pitch / 2),
            alpha=alpha,
            rasterized=rasterized,
        )
        discs.set_in_layout(False)
        axis.add_collection(discs, autolim=False)
        mark = Line2D([], [], linestyle="", marker="o", markersize=8 * diameter, markeredgewidth=0, color=colour)
        mark.set(alpha=alpha, label=f"{kind} ({len(points):,})")
        handles.append(mark)
    edges = LineCollection(list(outline(lattice)), colors="black", linewidths=0.8, capstyle="round", zorder=3)
    edges.set_label("outline")
    edges.set_in_layout(False)
    axis.add_collection(edges, autolim=False)
    axis.legend(
        handles=[*handles, edges],
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize=8,
        handlelength=1.2,
        borderaxespad=0.3,
    )
