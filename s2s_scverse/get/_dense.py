import logging
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_runs, read_values
from .._checks import check_adata, check_genes, check_name, check_number, few, in_memory, stored_values
from ._tables import read_reliability

log = logging.getLogger(__name__)


def dense(
    adata: AnnData,
    key: str = _keys.UNS,
    *,
    min_reliability: float | None = None,
    genes: str | Sequence[str] | None = None,
) -> AnnData:
    """Return an AnnData with the imputed values in X, for functions of scanpy and squidpy.

    X of a section from :func:`s2s_scverse.pp.grid` is 0 at unmeasured sites, which functions that read X would use as
    measurements.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` or :func:`s2s_scverse.tl.interpolate` was run on.
    key
        Name of the run (its `key_added`).
    min_reliability
        Smallest expected Pearson correlation (``adata.var[f"{key}_reliability"]``) of the genes to return, -1 to 1. By
        default all imputed genes are returned.
    genes
        Genes to return, in this order; by default all that were imputed.

    Returns
    -------
    A new AnnData, in memory:

    `.X`
        The layer `key` as float32 (n_sites, n_genes), without sites that have no values (beyond the `max_distance` of
        the run) and genes that were not imputed.
    `.obs`, `.var`
        As in `adata`. ``obs["s2s_measured"]`` distinguishes spots from predicted sites.
    `.obsm`
        Coordinates, image features and other arrays that are known at every site, without embeddings (``X_pca``).
    `.uns`
        ``"spatial"``, ``"log1p"``, colours, and the lattice in ``uns["s2s"]["grid"]``.

    Imputed values are predictions: tests that treat sites as independent observations overstate significance.

    Raises
    ------
    KeyError
        If the run does not exist or has no reliability for `min_reliability`, or a gene does not exist or was not
        imputed.
    TypeError, ValueError
        If `min_reliability` is not a number from -1 to 1, or no gene or site is left.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> section = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=2)
    >>> s2s.pp.normalize(section)
    >>> s2s.tl.interpolate(section, "kriging")
    >>> plain = s2s.get.dense(section, "kriging")
    >>> sc.pp.pca(plain, n_comps=3)
    >>> plain.obsm["X_pca"].shape == (section.n_obs, 3)
    True
    """
    return read_dense(adata, key, min_reliability=min_reliability, genes=genes)[0]


def read_dense(
    adata: AnnData, key: str, *, min_reliability: float | None = None, genes: str | Sequence[str] | None = None
) -> tuple[AnnData, NDArray[np.int64], NDArray[np.int64]]:
    """Return what :func:`dense` does, and the rows and columns of `adata` that it has."""
    check_adata(adata)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    if key not in (runs := find_runs(adata)):
        writers = "s2s.tl.impute or s2s.tl.interpolate, so it has no values at unmeasured sites"
        msg = f"layer {key!r} was not written by {writers}; runs in adata.uns[{_keys.UNS!r}]: {few(runs) or 'none'}"
        raise KeyError(msg)
    columns = check_genes(adata, genes)
    if min_reliability is not None:
        least = check_number("min_reliability", min_reliability, least=-1, most=1)
        found = read_reliability(adata, key).reindex(adata.var_names[columns])
        columns = columns[found >= least]
        if not len(columns):
            most = f"the largest is {found.max():.2f}"
            msg = f"no gene has a reliability of at least {least:g}, {most}; decrease min_reliability"
            raise ValueError(msg)
    values = read_values(adata, np.ones(adata.n_obs, dtype=bool), columns, layer=key, finite=False)
    imputed = ~np.isnan(values).all(axis=0)
    if genes is not None and not imputed.all():
        names = few(adata.var_names[columns[~imputed]])
        msg = f"genes not imputed by run {key!r}: {names}; impute them, or drop them from genes="
        raise KeyError(msg)
    if not imputed.all():
        values, columns = values[:, imputed], columns[imputed]
    sites = ~np.isnan(values).any(axis=1)
    if not (len(columns) and sites.any()):
        msg = f"layer {key!r} has no site with values for all genes; call s2s.tl.impute or s2s.tl.interpolate again"
        raise ValueError(msg)
    dropped = adata.n_vars - len(columns), adata.n_vars, (~sites).sum(), adata.n_obs
    log.info("dropped %d of %d genes, and %d of %d sites without values", *dropped)
    known = {name: in_memory(of)[sites] for name, of in adata.obsm.items() if not name.startswith("X_")}
    uns = {name: adata.uns[name] for name in adata.uns if name in ("spatial", "log1p") or name.endswith("_colors")}
    if grid := adata.uns.get(_keys.UNS, {}).get(_keys.GRID):
        uns[_keys.UNS] = {_keys.GRID: grid}
    plain = AnnData(
        X=values if sites.all() else values[sites],
        obs=adata.obs[sites].copy(),
        var=adata.var.iloc[columns].copy(),
        obsm={
            name: of for name, of in known.items() if of.dtype.kind in "iuf" and np.isfinite(stored_values(of)).all()
        },
        uns=deepcopy(uns),
    )
    return plain, np.flatnonzero(sites), columns
