from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_mask
from .._checks import check_adata, check_coordinates, check_positive
from .._lattice import SectionOnLattice
from ._cells import bounds, outline_rings, site_polygons
from ._figure import check_axes, finished, hairline, new_figure
from ._layout import CHARACTER, MIN_HEIGHT
from ._maps_data import read_section
from ._underlay import Underlay, check_opacity, draw_underlay, find_underlay

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

    Box = tuple[float, float, float, float]

__all__ = ["GridSites", "grid", "grid_sites"]

MARKS: Final = {"measured": ("#0072b2", 0.85), "held out": ("#e69f00", 0.85), "unmeasured": ("#000000", 0.3)}
"""Colour (of Okabe and Ito, told apart by all) and diameter, in distances of neighbouring sites."""
OUTLINE: Final = "#000000"
TISSUE: Final = "#eeeeee"
"""Colour of the tissue where there is no image."""
LEGEND, TITLE, MARGIN = 1.75, 0.3, 0.08
"""Room for the legend, the title and around all, in inches."""


@dataclass(frozen=True, eq=False)
class GridSites:
    """What `pl.grid` shows, in the units of the coordinates."""

    section: SectionOnLattice
    points: dict[str, NDArray[np.float64]]
    """x and y (n, 2) of the sites of each kind; kinds without sites are left out."""
    rings: list[NDArray[np.float64]]
    """Outline of the tissue: around its parts and its holes."""
    box: "Box"
    """Left, right, top and bottom of the cells of all sites, and half a pitch around them."""


def grid_sites(adata: "AnnData", *, spatial_key: str = _keys.SPATIAL, library_id: str | None = None) -> GridSites:
    """Sort sites into measured, held out and unmeasured ones, and trace the tissue; see :func:`s2s_scverse.pl.grid`."""
    check_adata(adata)
    adata, section = read_section(adata, library_id)
    at = check_coordinates(adata, spatial_key)
    measured, held_out = (read_mask(adata, key) for key in (_keys.MEASURED, _keys.HELD_OUT))
    kinds = {"measured": measured, "held out": held_out & ~measured, "unmeasured": ~measured & ~held_out}
    lattice = section.lattice
    points = {kind: at[sites] for kind, sites in kinds.items() if sites.any()}
    left, right, top, bottom = bounds(site_polygons(lattice))
    margin = lattice.pitch / 2
    box = left - margin, right + margin, top - margin, bottom + margin
    return GridSites(section, points, outline_rings(lattice), box)


def grid(
    adata: "AnnData",
    *,
    library_id: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    img: bool | str | None = None,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    panel_size: float = 4.0,
    rasterized: bool = False,
    ax: "Axes | None" = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Axes | Figure | None":
    """Draw the lattice of a section: which sites are measured, and which there are besides.

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
    img_alpha
        Opacity of the image, 0 to 1.
    alpha
        Opacity of the sites, 0 to 1.
    panel_size
        Size of the panel in inches (longer side), without `ax`.
    rasterized
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    ax
        Axes to draw into; the legend stands to their right. They are shown only with ``show=True``.
    show
        Whether to show the figure; by default as ``scanpy.settings.autoshow`` says.
    return_fig
        Return the figure, which is then not shown and, if `ax` is not given, unknown to pyplot.

    Returns
    -------
    The axes; `None` if the figure is shown; the figure with `return_fig`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or the section, the coordinates or the image do not exist.
    TypeError
        If `ax` is no axes, or `img` neither a truth value nor a name.
    ValueError
        If there are several sections and `library_id` does not say which, the section lies beside the image asked for, or
        `panel_size` or an opacity make no sense.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=2)
    >>> axes = s2s.pl.grid(dense, show=False)
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['measured (314)', 'unmeasured (919)', 'outline']
    """
    check_positive("panel_size", panel_size)
    opacity, img_opacity = check_opacity("alpha", alpha), check_opacity("img_alpha", img_alpha)
    data = grid_sites(adata, spatial_key=spatial_key, library_id=library_id)
    underlay = find_underlay(adata.uns.get("spatial"), data.section.name, img, data.box)
    if ax is not None:
        given = cast("Axes", check_axes(ax, 1)[0])
        _draw(given, data, underlay, opacity, img_opacity, rasterized=rasterized)
        return finished(cast("Figure", given.figure), given, show=show, return_fig=return_fig, own=False)
    size, place = _plan(data, panel_size)
    with new_figure(size, managed=not return_fig) as figure:
        made = figure.add_axes(place)
        _draw(made, data, underlay, opacity, img_opacity, rasterized=rasterized)
    return finished(figure, made, show=show, return_fig=return_fig)


def _title(section: SectionOnLattice) -> str:
    lattice = f"{section.lattice.kind.name} lattice"
    return lattice if section.name is None else f"{section.name}, {lattice}"


def _plan(data: GridSites, panel_size: float) -> "tuple[tuple[float, float], Box]":
    """Size of the figure in inches, and the place of the axes in it."""
    left, right, top, bottom = data.box
    scale = panel_size / max(right - left, bottom - top)
    width, height = (right - left) * scale, (bottom - top) * scale
    # A title wider than the section reaches over its sides; to the right there is room above the legend.
    before = MARGIN + max((len(_title(data.section)) * CHARACTER - width) / 2, 0)
    total = before + width + LEGEND, TITLE + max(height, MIN_HEIGHT) + MARGIN
    return total, (before / total[0], 1 - (TITLE + height) / total[1], width / total[0], height / total[1])


def _draw(
    axis: "Axes", data: GridSites, underlay: Underlay | None, alpha: float, img_alpha: float, *, rasterized: bool
) -> None:
    left, right, top, bottom = data.box
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axis.set_axis_off()
    if underlay is not None:
        draw_underlay(axis, underlay, img_alpha)
    _draw_outline(axis, data.rings, filled=underlay is None)
    for kind, points in data.points.items():
        discs = _discs(axis, points, kind, data.section.lattice.pitch, alpha)
        if underlay is not None:  # blue and black stand out from a dark stain only with a rim
            discs.set(edgecolor="white", linewidth=hairline(axis, data.section.lattice.pitch / (right - left) / 2))
        discs.set_rasterized(rasterized)
        axis.add_collection(discs, autolim=False)
    axis.set_title(_title(data.section), fontsize=10, parse_math=False)
    _draw_legend(axis, data, alpha)


def _draw_outline(axis: "Axes", rings: list[NDArray[np.float64]], *, filled: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # A corner more closes the ring: matplotlib reads the last one as a sign to do so.
    path = Path.make_compound_path(*[Path(np.r_[ring, ring[:1]], closed=True) for ring in rings])
    fill = PathPatch(path, facecolor=TISSUE if filled else "none", edgecolor="none", zorder=0.5)
    line = PathPatch(path, facecolor="none", edgecolor=OUTLINE, linewidth=0.8, joinstyle="round", zorder=3)
    for patch in (fill, line):
        axis.add_artist(patch)


def _discs(axis: "Axes", points: NDArray[np.float64], kind: str, pitch: float, alpha: float) -> "EllipseCollection":
    from matplotlib.collections import EllipseCollection

    colour, diameter = MARKS[kind]
    size = [diameter * pitch]
    return EllipseCollection(
        size,
        size,
        [0],
        units="xy",
        offsets=points,
        offset_transform=axis.transData,
        facecolors=colour,
        edgecolors="none",
        alpha=alpha,
        label=kind,
    )


def _draw_legend(axis: "Axes", data: GridSites, alpha: float) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color=MARKS[kind][0],
            markersize=8 * MARKS[kind][1],
            markeredgewidth=0,
            alpha=alpha,
            label=f"{kind} ({len(points):,})",
        )
        for kind, points in data.points.items()
    ]
    handles.append(Line2D([], [], color=OUTLINE, linewidth=0.8, label="outline"))
    axis.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize=8,
        handlelength=1.2,
        borderaxespad=0.3,
    )
