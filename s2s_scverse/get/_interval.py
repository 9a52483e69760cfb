from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_runs, read_mask, read_values
from .._checks import check_adata, check_genes, check_name, check_number
from ._tables import NO_STD


def interval(
    adata: AnnData, level: float = 0.9, *, genes: str | Sequence[str] | None = None, key: str = _keys.UNS
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return prediction intervals.

    A fraction `level` of the values that would be measured at unmeasured sites is expected inside the intervals, over
    all genes and sites together. Widths are calibrated by cross-validation on measured spots, see
    :func:`s2s_scverse.tl.impute`.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    level
        Expected fraction of values inside, 0.05 to 0.99.
    genes
        Names of the genes, all by default.
    key
        Name of the run (its `key_added`).

    Returns
    -------
    Lower and upper ends, float32, (n_obs, n_genes) each, on the scale of the layer. At measured spots both equal the
    value of the layer; both are NaN where nothing was imputed. They are not below 0 for genes without a negative value.

    Raises
    ------
    KeyError
        If the run has no standard deviations or interval widths, or a gene does not exist.
    TypeError, ValueError
        If `level` is not a number from 0.05 to 0.99.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> lower, upper = s2s.get.interval(dense, 0.8)
    >>> bool((lower <= upper).all())
    True
    """
    check_adata(adata)
    wanted = check_number("level", level, least=0.05, most=0.99)
    columns = check_genes(adata, genes)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    layer = _keys.STD.format(key)
    run: Any = find_runs(adata).get(key, {})
    if layer not in adata.layers:
        msg = NO_STD.format(key)
        raise KeyError(msg)
    if "width" not in run.get("intervals", {}):
        msg = f"run {key!r} has no interval widths, as after anndata.concat; get intervals before it"
        raise KeyError(msg)
    everywhere = np.ones(adata.n_obs, dtype=bool)
    middle = read_values(adata, everywhere, columns, layer=key, finite=False)
    std = read_values(adata, everywhere, columns, layer=layer, finite=False)
    levels, widths = (np.asarray(run["intervals"][name]) for name in ("level", "width"))
    half = np.float32(np.interp(wanted, levels, widths)) * std
    half[read_mask(adata, _keys.VISIBLE.format(key))] = 0
    lower, upper = middle - half, middle + half
    negative = (middle < 0).any(axis=0)
    return np.maximum(lower, np.where(negative, -np.inf, 0), dtype=np.float32), upper
