"""Writing results into an AnnData: all of a run, or nothing."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_key_added
from ._runs import find_runs

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "check_copy",
    "check_run_key",
    "versions",
    "write_evaluation",
    "write_run",
]

RESERVED = {_keys.GRID: "the lattice", _keys.EVALUATION: "the scores"}


def check_run_key(adata: "AnnData", key: object) -> str:
    """Return the name of a run; refuse names that would overwrite other data."""
    name = check_key_added(key)
    if name in RESERVED:
        msg = f"key_added={name!r} is taken by {RESERVED[name]} in adata.uns[{_keys.UNS!r}]; choose another"
        raise ValueError(msg)
    if name.endswith(_keys.STD.format("")):
        msg = f"key_added={name!r} is the name of a standard deviation; choose one that does not end in '_std'"
        raise ValueError(msg)
    visible, std, reliability = (key.format(name) for key in (_keys.VISIBLE, _keys.STD, _keys.RELIABILITY))
    taken = [f"adata.layers[{layer!r}]" for layer in (name, std) if layer in adata.layers]
    taken += [f"adata.obs[{visible!r}]"] if visible in adata.obs else []
    taken += [f"adata.var[{reliability!r}]"] if reliability in adata.var else []
    if name not in find_runs(adata) and taken:
        where = taken[0]
        msg = f"key_added={name!r} would overwrite {where}, which no run of s2s wrote; choose another"
        raise ValueError(msg)
    return name


def check_copy(adata: "AnnData", *, copy: bool) -> None:
    """Refuse to copy a section that is backed by a file, before any work is done."""
    if copy and adata.isbacked:
        msg = "copy=True needs a section in memory, found one backed by a file; call adata = adata.to_memory() first"
        raise ValueError(msg)


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of this package and of those named."""
    from importlib.metadata import version

    return {name: version(name) for name in ("s2s-scverse", *packages)}


def write_run(
    adata: "AnnData",
    key: str,
    dense: Any,
    visible: NDArray[np.bool_],
    run: dict[str, Any],
    *,
    std: Any = None,
    reliability: NDArray[np.float32] | None = None,
    copy: bool,
) -> "AnnData | None":
    """Write the layers of a run (numpy or dask arrays), which sites it saw, how reliable genes are, and its entry.

    Standard deviations and reliability of an earlier run of that name go if there are no new ones.
    """
    adata = _own(adata, copy=copy)
    obs, var, entry = adata.obs, adata.var, adata.uns[_keys.UNS]
    new = {key: dense, _keys.STD.format(key): std}
    old = {name: adata.layers.get(name) for name in new}
    column = _keys.RELIABILITY.format(key)
    try:
        # Aligned to obs, unlike anything in uns: still right after subsetting, reordering or a later sparsify.
        adata.obs = obs.assign(**{_keys.VISIBLE.format(key): visible})
        if reliability is not None:
            adata.var = var.assign(**{column: reliability})
        elif column in var:
            adata.var = var.drop(columns=column)
        adata.uns[_keys.UNS] = {**entry, key: run}
        _set_layers(adata, new)
    except BaseException:
        # Also upon Ctrl-C: all or none.
        adata.obs, adata.var, adata.uns[_keys.UNS] = obs, var, entry
        _set_layers(adata, old)
        raise
    return adata if copy else None


def _set_layers(adata: "AnnData", layers: dict[str, Any]) -> None:
    """Set layers, and remove those that are None."""
    for name, values in layers.items():
        if values is not None:
            adata.layers[name] = values
        elif name in adata.layers:
            del adata.layers[name]


def write_evaluation(adata: "AnnData", entry: dict[str, Any], *, copy: bool) -> "AnnData | None":
    """Write the tables of an evaluation, in place of those of an earlier one."""
    adata = _own(adata, copy=copy)
    adata.uns[_keys.UNS] = {**adata.uns[_keys.UNS], _keys.EVALUATION: entry}
    return adata if copy else None


def _own(adata: "AnnData", *, copy: bool) -> "AnnData":
    """Return `adata` (actualised if it is a view) or a copy, to write to."""
    if copy:
        return adata.copy()
    if adata.is_view:
        warnings.warn("Received a view of an AnnData. Making a copy.", UserWarning, stacklevel=4)
        adata._init_as_actual(adata.copy())
    return adata
