from typing import TYPE_CHECKING

from .. import _keys
from .._adata import find_runs
from .._checks import check_adata, check_name, few, read_table

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["history_df"]


def history_df(adata: "AnnData", key: str = _keys.UNS) -> "pd.DataFrame":
    """Return the training history of a run.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    key
        Name of the run (its `key_added`).

    Returns
    -------
    One row an epoch: `epoch`; `loss_genes_sparser`, `loss_genes_dense`, `loss_images_sparser`, `loss_images_dense`
    (mean training losses of the terms that took part); `validation` and `validation_start` (squared error, in
    variances of the genes, of the network and of its starting map at the spots kept aside).

    Raises
    ------
    KeyError
        If there is no such run.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.tl.impute(dense, max_epochs=2, natural_images=None, progress=False)
    >>> list(s2s.get.history_df(dense).columns)
    ['epoch', 'loss_genes_sparser', 'loss_genes_dense', 'validation', 'validation_start']
    """
    check_adata(adata)
    check_name("key", key)
    runs = {name: run for name, run in find_runs(adata).items() if "history" in run}
    if key not in runs:
        msg = f"no run {key!r} found in adata.uns[{_keys.UNS!r}], which has: {few(runs) or 'none'}; call s2s.tl.impute"
        raise KeyError(msg)
    return read_table(runs[key]["history"]).copy()
