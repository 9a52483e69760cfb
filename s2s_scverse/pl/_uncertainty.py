from collections.abc import Sequence
from typing import Any

from anndata import AnnData

from .. import _keys
from .._adata import check_keys
from .._checks import check_adata, check_name
from ._compare import compare
from ._figure import Shown

__all__ = ["uncertainty"]


def uncertainty(adata: AnnData, genes: str | Sequence[str], *, key: str = _keys.UNS, **options: Any) -> Shown:
    """Draw imputed genes and their standard deviations at every site.

    The same as ``compare(adata, genes, keys=key, columns=("imputed", "std"))``. Measured spots keep their values, have
    no standard deviation, and are grey.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    genes
        Genes to draw.
    key
        Name of the run (its `key_added`).
    **options
        Other arguments of :func:`s2s_scverse.pl.compare`.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_rows, 2).

    Raises
    ------
    KeyError, ValueError
        As :func:`s2s_scverse.pl.compare`; if the run has no standard deviations.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> [axis.get_title() for axis in s2s.pl.uncertainty(dense, "domain_1", show=False)[0]]
    ['imputed', 'standard deviation']
    """
    check_adata(adata)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    return compare(adata, genes, keys=key, columns=("imputed", "std"), **options)
