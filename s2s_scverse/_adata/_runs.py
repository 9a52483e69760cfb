"""Runs of earlier calls in an AnnData: their layers, inputs and measured sites."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_layer, few, named_layers

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["check_keys", "find_runs", "find_source", "read_visible"]


def find_runs(adata: "AnnData") -> dict[str, Mapping[str, Any]]:
    """Return the runs of this package, by the name of their layer; without details where `anndata.concat` lost them."""
    entry = adata.uns.get(_keys.UNS, {})
    runs = entry if isinstance(entry, Mapping) else {}
    reserved = (_keys.GRID, _keys.EVALUATION)
    found = {name: run for name, run in runs.items() if name not in reserved and isinstance(run, Mapping)}
    return {name: {} for name in named_layers(adata) if _keys.VISIBLE.format(name) in adata.obs} | found


def check_keys(adata: "AnnData", keys: object, *, argument: str = "keys") -> list[str]:
    """Return the names of imputed layers as a list.

    Raises
    ------
    TypeError
        If `keys` is neither a name nor a list of names.
    ValueError
        If no layer, or one layer twice, is named.
    KeyError
        If a layer does not exist.
    """
    names = [keys] if isinstance(keys, str) else list(keys) if isinstance(keys, Sequence | np.ndarray) else None
    if names is None or not all(isinstance(name, str) for name in names):
        msg = f"keys must be the name of a layer or a list of them, found {keys!r}"
        raise TypeError(msg)
    if not names or len(set(names)) < len(names):
        msg = f"keys must name at least one layer, and each once, found {names!r}"
        raise ValueError(msg)
    missing = [name for name in names if name not in adata.layers]
    if missing:
        msg = (
            f"layers not found: {few(missing)}; adata.layers has: {few(named_layers(adata)) or 'none'}; call "
            f"s2s.tl.impute or s2s.tl.interpolate first, or pass {argument}="
        )
        raise KeyError(msg)
    return names


def find_source(adata: "AnnData", keys: Sequence[str], given: str | None, *, argument: str) -> str | None:
    """Return the layer of measured and true values, None for X: the one given, else what the runs read.

    Raises
    ------
    KeyError
        If the layer does not exist.
    ValueError
        If the runs read different ones and `argument` does not say which counts.
    """
    source = given
    if source is None:
        runs = find_runs(adata)
        sources = sorted({str(runs[name]["layer"]) for name in keys if "layer" in runs.get(name, {})})
        if len(sources) > 1:
            msg = f"the layers in keys were made from different values ({few(sources)}); pass {argument}={sources[0]!r}"
            raise ValueError(msg)
        source = sources[0] if sources else "X"
    if source == "X" and source not in adata.layers:
        return None
    check_layer(adata, source, argument=argument)
    return source


def read_visible(adata: "AnnData", key: str) -> NDArray[np.bool_] | None:
    """Return the sites that were measured in a run, None if there is no record."""
    column = _keys.VISIBLE.format(key)
    if column not in adata.obs:
        return None
    # isin: sites that other functions added since are missing in the column.
    return np.asarray(adata.obs[column].isin([True]), dtype=bool)
