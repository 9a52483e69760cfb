"""What `pl.compare` shows, as arrays."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_values, read_visible
from .._checks import check_adata, check_genes, few
from .._scores import pearson
from ._maps_data import GeneRow, Maps, Panel, check_percentiles, colour_limits, read_section, read_seen

if TYPE_CHECKING:
    from anndata import AnnData

    from ._maps_data import Limits, Scale

    Values = NDArray[np.float32]

__all__ = ["check_imputed", "compare_data"]


def compare_data(
    adata: "AnnData",
    genes: str | Sequence[str] | None,
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
) -> Maps:
    """Collect measured, imputed and true values and errors; see :func:`s2s_scverse.pl.compare`."""
    check_adata(adata)
    adata, section = read_section(adata, library_id)
    columns = check_genes(adata, genes)
    layers = check_keys(adata, keys)
    source = find_source(adata, layers, layer, argument="layer")
    check_percentiles(percentiles)
    measured, values = read_seen(adata, columns, source)
    held_out = read_mask(adata, _keys.HELD_OUT)
    everywhere = np.ones(adata.n_obs, dtype=bool)
    seen = _on_sites(values, measured)
    imputed = {key: read_values(adata, everywhere, columns, layer=key, finite=False) for key in layers}
    for key, values in imputed.items():
        check_imputed(adata, key, columns[np.isnan(values).all(axis=0)])
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
            _limits(seen[measured, i], percentiles),
        )
        for i, gene in enumerate(adata.var_names[columns].astype(str))
    )
    return Maps(section, rows, source is None and "log1p" in adata.uns)


def _limits(measured: "Values", percentiles: tuple[float, float]) -> "dict[Scale, Limits]":
    """Ranges of the colours: measured values alone set both, and errors have as wide a one."""
    low, high = colour_limits(measured, percentiles)
    return {"expression": (low, high), "error": ((low - high) / 2, (high - low) / 2)}


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
            panels.append(Panel(f"{names[key]} − truth", error, "error", note))
    return tuple(panels)


def _correlation(values: "Values", truth: "Values") -> str:
    """Pearson's correlation in words: none where the truth is constant."""
    known = np.isfinite(values) & np.isfinite(truth)
    found = float(pearson(truth[known][:, None], values[known][:, None])[0]) if known.sum() > 1 else np.nan
    # Adding 0 turns -0.0 into 0.0.
    return "undefined" if np.isnan(found) else f"{round(found, 2) + 0.0:.2f}".replace("-", "−")


def check_imputed(adata: "AnnData", key: str, empty: NDArray[np.int64]) -> None:
    """Refuse genes (by column) without any imputed value."""
    if len(empty):
        msg = (
            f"adata.layers[{key!r}] holds no values of {few(adata.var_names[empty])}: they were not asked for when it "
            "was made; impute them too, or choose other genes"
        )
        raise ValueError(msg)
