"""Maps of genes in rows, as arrays: what `pl.compare` and `pl.uncertainty` show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .._adata import choose_section, read_lattice, read_sections, read_values
from .._checks import few
from .._lattice import SectionOnLattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["GeneRow", "Limits", "Maps", "Panel", "Scale", "colour_limits", "read_imputed", "read_section"]

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
    """Small text below the map."""


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


def read_imputed(adata: "AnnData", key: str, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return imputed values (n_sites, n_genes).

    Raises
    ------
    ValueError
        If a gene has no value.
    """
    values = read_values(adata, np.ones(adata.n_obs, dtype=bool), columns, layer=key, finite=False)
    empty = adata.var_names[columns[np.isnan(values).all(axis=0)]]
    if len(empty):
        msg = (
            f"adata.layers[{key!r}] holds no values of {few(empty)}: they were not asked for when it was made; impute "
            "them too, or choose other genes"
        )
        raise ValueError(msg)
    return values


def colour_limits(values: NDArray[np.float32], vmin: float | str, vmax: float | str) -> Limits:
    """Return the range of colours of a gene from its measured values; extremes replace percentiles that agree.

    Raises
    ------
    TypeError
        If a limit is neither a number nor text.
    ValueError
        If text is no percentile such as ``"p99"``, or `vmin` does not lie below `vmax`.
    """
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
