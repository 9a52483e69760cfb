"""Scale bars, where the unit of the coordinates is known."""

import re

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from .. import _keys
from .._checks import check_number
from .._image import find_library
from .._lattice import SectionOnLattice

__all__ = ["draw_scale_bar", "micrometres_per_unit"]

VISIUM = 100.0, (0.5, 0.7)
"""Micrometres between Visium spots, and range of their diameter in ``scalefactors`` relative to this distance."""


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
    bar = AnchoredSizeBar(
        axis.transData,
        length / micrometres,
        text,
        "upper left",
        pad=0.2,
        borderpad=0,
        sep=2,
        frameon=False,
        size_vertical=(right - left) / 80,
        fontproperties=FontProperties(size=7),
        bbox_to_anchor=(0, 0),
        bbox_transform=axis.transAxes,
    )
    axis.add_artist(bar)
