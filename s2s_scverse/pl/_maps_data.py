"""Maps of genes in rows, as arrays: what `pl.compare` and `pl.uncertainty` show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .._adata import choose_section, read_lattice, read_measured, read_sections, read_values
from .._lattice import SectionOnLattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "GeneRow",
    "Limits",
    "Maps",
    "Panel",
    "Scale",
    "check_percentiles",
    "colour_limits",
    "read_section",
    "read_seen",
]

Scale = Literal["expression", "error", "SD"]
"""What values are, and so which colour bar they have and what stands beside it."""
Limits = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of one gene."""

    title: str
    by_site: NDArray[np.float32]
    """(n_sites,), NaN where nothing is to be shown."""
    scale: Scale = "expression"
    note: str = ""
    """Small text above the map."""


@dataclass(frozen=True, eq=False)
class GeneRow:
    """The maps of one gene; panels of one scale stand side by side."""

    gene: str
    panels: tuple[Panel, ...]
    limits: Mapping[Scale, Limits]
    """Range of the colours on each scale."""


@dataclass(frozen=True, eq=False)
class Maps:
    """All rows, and the section they lie on."""

    section: SectionOnLattice
    rows: tuple[GeneRow, ...]
    log1p: bool
    """Whether scanpy says that the values were log-transformed."""


def read_section(adata: "AnnData", library_id: str | None) -> tuple["AnnData", SectionOnLattice]:
    """Return the section to draw, alone, and where it lies.

    Raises
    ------
    KeyError
        If there is no lattice, or no such section.
    ValueError
        If there are several sections and `library_id` does not say which.
    """
    adata = choose_section(adata, library_id)
    read_lattice(adata)
    return adata, read_sections(adata)[0]


def read_seen(
    adata: "AnnData", columns: NDArray[np.int64], source: str | None
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which sites are measured, and their values (n_measured, n_genes).

    Raises
    ------
    ValueError
        If no site is measured.
    """
    measured = read_measured(adata)
    return measured, read_values(adata, measured, columns, layer=source)


def colour_limits(values: NDArray[np.float32], percentiles: tuple[float, float]) -> Limits:
    """Return the range of colours: two percentiles, or the extremes where those agree."""
    low, high = (float(limit) for limit in np.percentile(values.astype(np.float64), percentiles))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Refuse what is no range of percentiles."""
    if not isinstance(percentiles, Sequence | np.ndarray) or not all(isinstance(p, Real) for p in percentiles):
        msg = f"percentiles must be two growing numbers from 0 to 100, found {percentiles!r}"
        raise TypeError(msg)
    if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
        msg = f"percentiles must be two growing numbers from 0 to 100, found {percentiles!r}"
        raise ValueError(msg)
