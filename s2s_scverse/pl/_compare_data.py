"""What `pl.compare` shows, as arrays."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_measured, read_values, read_visible
from .._checks import check_adata, check_genes
from .._scores import pearson
from ._maps_data import GeneRow, Maps, Panel, colour_limits, read_imputed, read_section

if TYPE_CHECKING:
    from anndata import AnnData

    Values = NDArray[np.float32]

__all__ = ["compare_data"]


def compare_data(
    adata: "AnnData",
    genes: str | Sequence[str] | None,
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
) -> Maps:
    """Collect measured, imputed and true values and errors; see :func:`s2s_scverse.pl.compare`."""
    check_adata(adata)
    adata, section = read_section(adata, library_id)
    columns = check_genes(adata, genes)
    layers = check_keys(adata, keys)
    source = find_source(adata, layers, layer, argument="layer")
    measured, held_out = read_measured(adata), read_mask(adata, _keys.HELD_OUT)
    seen = np.full((adata.n_obs, len(columns)), np.nan, dtype=np.float32)
    seen[measured] = read_values(adata, measured, columns, layer=source)
    imputed = {key: read_imputed(adata, key, columns) for key in layers}
    truth = seen.copy()
    if held_out.any():
        truth[held_out] = read_values(adata, held_out, columns, layer=source, finite=False)
    visible = {key: read_visible(adata, key) for key in layers}
    leaked = {key for key, sites in visible.items() if sites is not None and np.any(sites & held_out)}
    rows = []
    for i, gene in enumerate(adata.var_names[columns].astype(str)):
        # Measured values alone set both ranges of colours; that of errors is as wide.
        low, high = colour_limits(seen[measured, i], vmin, vmax)
        panels = _panels(
            seen[:, i], {key: values[:, i] for key, values in imputed.items()}, truth[:, i], held_out, leaked
        )
        rows.append(GeneRow(gene, panels, {"expression": (low, high), "error": ((low - high) / 2, (high - low) / 2)}))
    return Maps(section, tuple(rows), source is None and "log1p" in adata.uns)


def _panels(
    seen: "Values",
    imputed: dict[str, "Values"],
    truth: "Values",
    held_out: NDArray[np.bool_],
    leaked: set[str],
) -> tuple[Panel, ...]:
    """Make the maps of one gene; those in `leaked` get no score."""
    names = {key: key if len(imputed) > 1 else "imputed" for key in imputed}
    panels = [Panel("measured", seen), *(Panel(names[key], values) for key, values in imputed.items())]
    if not held_out.any():
        return tuple(panels)
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
