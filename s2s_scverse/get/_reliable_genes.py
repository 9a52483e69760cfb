from anndata import AnnData

from .. import _keys
from .._checks import check_adata, check_int, check_number
from ._reliability import read_reliability
from ._reliability_by_scale import reliability_df

__all__ = ["reliable_genes"]


def reliable_genes(
    adata: AnnData,
    min_reliability: float = 0.5,
    *,
    key: str = _keys.UNS,
    scale: int = 1,
) -> list[str]:
    """Return the names of genes with a high expected accuracy.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    min_reliability
        Smallest expected Pearson correlation of imputed with measured values at unmeasured sites, -1 to 1.
    key
        Name of the run (its `key_added`).
    scale
        Side of the windows, in sites, over whose means the correlation is computed. For windows larger than 1 it is
        estimated from 20 conditional draws (:func:`s2s_scverse.get.reliability_df`).

    Returns
    -------
    Names of genes, in order of decreasing reliability.

    Raises
    ------
    KeyError
        If the run did not estimate reliability.
    TypeError, ValueError
        If `min_reliability` is not a number from -1 to 1, or `scale` not a positive integer.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> set(s2s.get.reliable_genes(dense, min_reliability=0.7)) <= set(dense.var_names)
    True
    """
    check_adata(adata)
    least = check_number("min_reliability", min_reliability, least=-1, most=1)
    width = check_int("scale", scale, least=1)
    found = read_reliability(adata, key) if width == 1 else reliability_df(adata, key=key, scales=width)[width]
    ordered = found[found >= least].sort_values(ascending=False, kind="stable")
    return [str(name) for name in ordered.index]
