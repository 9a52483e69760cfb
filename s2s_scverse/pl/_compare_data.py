"""What `pl.compare` shows, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_adata, check_genes, few
from .._lattice import Lattice
from .._runs import check_keys, find_source, read_visible
from .._scores import pearson
from .._section import choose_section, read_lattice, read_mask, read_values

if TYPE_CHECKING:
    from anndata import AnnData

    Values = NDArray[np.float32]

__all__ = ["Comparison", "GeneRow", "Panel", "colour_limits", "compare_data"]


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of one gene."""

    title: str
    by_site: NDArray[np.float32]
    """(n_sites,), NaN where nothing is to be shown."""
    error: bool = False
    """Whether the values are differences, drawn on the scale of errors."""
    note: str = ""


@dataclass(frozen=True, eq=False)
class GeneRow:
    """The maps of one gene."""

    gene: str
    panels: tuple[Panel, ...]
    limits: tuple[float, float]
    """Range of the colours of all values; depends on measured values alone."""

    @property
    def error_limit(self) -> float:
        """Largest error that the colours tell apart: half the range of the values."""
        return (self.limits[1] - self.limits[0]) / 2


@dataclass(frozen=True, eq=False)
class Comparison:
    """All rows, and the lattice they lie on."""

    lattice: Lattice
    rows: tuple[GeneRow, ...]
    log1p: bool
    """Whether scanpy says that X was log-transformed."""


def compare_data(
    adata: "AnnData",
    genes: str | Sequence[str] | None,
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
) -> Comparison:
    """Collect measured, imputed and true values and errors; see :func:`s2s_scverse.pl.compare`."""
    check_adata(adata)
    adata = choose_section(adata, library)
    columns = check_genes(adata, genes)
    layers = check_keys(adata, keys)
    source = find_source(adata, layers, layer, argument="layer")
    _check_percentiles(percentiles)
    lattice = read_lattice(adata)
    measured, held_out = (read_mask(adata, key) for key in (_keys.MEASURED, _keys.HELD_OUT))
    if not measured.any():
        msg = f"no site is measured: adata.obs[{_keys.MEASURED!r}] is False everywhere"
        raise ValueError(msg)
    everywhere = np.ones(adata.n_obs, dtype=bool)
    seen = _on_sites(read_values(adata, measured, columns, layer=source), measured)
    imputed = {key: read_values(adata, everywhere, columns, layer=key, finite=False) for key in layers}
    for key, values in imputed.items():
        _check_imputed(adata, key, columns[np.isnan(values).all(axis=0)])
    truth = None
    if held_out.any():
        truth = seen.copy()
        truth[held_out] = read_values(adata, held_out, columns, layer=source, finite=False)
    visible = {key: read_visible(adata, key) for key in layers}
    leaked = {key for key, sites in visible.items() if sites is not None and np.any(sites & held_out)}
    rows = tuple(
        GeneRow(
            gene,
            _panels(
                seen[:, i],
                {key: values[:, i] for key, values in imputed.items()},
                None if truth is None else truth[:, i],
                held_out,
                leaked,
            ),
            colour_limits(seen[measured, i], percentiles),
        )
        for i, gene in enumerate(adata.var_names[columns].astype(str))
    )
    return Comparison(lattice, rows, source is None and "log1p" in adata.uns)


def colour_limits(values: "Values", percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the range of colours: two percentiles, or the extremes where those agree."""
    low, high = (float(limit) for limit in np.percentile(values.astype(np.float64), percentiles))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def _on_sites(values: "Values", sites: NDArray[np.bool_]) -> "Values":
    everywhere = np.full((len(sites), values.shape[1]), np.nan, dtype=np.float32)
    everywhere[sites] = values
    return everywhere


def _panels(
    seen: "Values",
    imputed: dict[str, "Values"],
    truth: "Values | None",
    held_out: NDArray[np.bool_],
    leaked: set[str],
) -> tuple[Panel, ...]:
    """Make the maps of one gene; those in `leaked` get no score."""
    names = {key: key if len(imputed) > 1 else "imputed" for key in imputed}
    panels = [Panel("measured", seen), *(Panel(names[key], values) for key, values in imputed.items())]
    if truth is not None:
        panels.append(Panel("truth", truth))
        for key, values in imputed.items():
            error = np.where(held_out, values - truth, np.float32(np.nan))
            note = "saw the truth" if key in leaked else f"PCC {_correlation(values[held_out], truth[held_out])}"
            panels.append(Panel(f"{names[key]} − truth", error, error=True, note=note))
    return tuple(panels)


def _correlation(values: "Values", truth: "Values") -> str:
    """Pearson's correlation in words: none where the truth is constant."""
    known = np.isfinite(values) & np.isfinite(truth)
    found = float(pearson(truth[known][:, None], values[known][:, None])[0]) if known.sum() > 1 else np.nan
    # Adding 0 turns -0.0 into 0.0.
    return "undefined" if np.isnan(found) else f"{round(found, 2) + 0.0:.2f}".replace("-", "−")


def _check_imputed(adata: "AnnData", key: str, empty: NDArray[np.int64]) -> None:
    if len(empty):
        msg = (
            f"adata.layers[{key!r}] holds no values of {few(adata.var_names[empty])}: they were not asked for when it "
            "was made; impute them too, or choose other genes"
        )
        raise ValueError(msg)


def _check_percentiles(percentiles: tuple[float, float]) -> None:
    if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
        msg = f"percentiles must be two growing numbers from 0 to 100, found {percentiles!r}"
        raise ValueError(msg)
