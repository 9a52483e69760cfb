from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import _keys
from .._adata import gene_blocks, read_mask, read_sections
from .._checks import check_adata, check_int, check_name, check_number, check_type, few
from .._scores import mean_over_sections, pearson
from ._dense import dense
from ._draws import draws
from ._tables import read_reliability

FEWEST = 3  # windows or regions of a section between which a correlation is computed


def reliable_genes(adata: AnnData, min_reliability: float = 0.5, *, key: str = _keys.UNS, scale: int = 1) -> list[str]:
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
    return list(found[found >= least].sort_values(ascending=False, kind="stable").index.astype(str))


def reliability_df(
    adata: AnnData,
    *,
    genes: str | Sequence[str] | None = None,
    key: str = _keys.UNS,
    scales: int | Iterable[int] = (1, 2, 4),
    regions: str | None = None,
    n: int = 20,
    rng: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Return the reliability of genes at single sites, in windows and in regions.

    Imputed and true values are averaged over the unmeasured sites of each window or region. Noise and local errors
    average out, so many genes that are unreliable at single sites are reliable at coarser scales.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on with ``uncertainty=True``. Not changed.
    genes
        Names of the genes, by default all that were imputed.
    key
        Name of the run (its `key_added`).
    scales
        Widths of windows, in sites of the lattice: 1 for single sites, 2 for windows of 2 x 2 sites.
    regions
        Column of obs with regions, such as domains or clusters. Sites where it is missing are left out.
    n
        Number of conditional draws.
    rng
        Seed or generator of the draws.

    Returns
    -------
    One row per gene and one column per scale, then one named `regions` if given: the expected Pearson correlation of
    imputed with measured values, over windows or regions, -1 to 1. NaN for genes that do not vary, and where a section
    has fewer than 3 windows or regions.

    Raises
    ------
    KeyError
        As :func:`s2s_scverse.get.draws`, or if `regions` is not in obs.
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    The table holds the correlation of the layer with a conditional draw (:func:`s2s_scverse.get.draws`), averaged over
    draws. Draws are centred on the layer, which varies too much if there are few spots: at single sites their
    correlation is higher than ``var[f"{key}_reliability"]`` from cross-validation. The table is scaled to the geometric
    mean of both. As in :func:`s2s_scverse.tl.evaluate`, measured spots are excluded, and correlations of several
    sections are averaged, weighted by their sites. Windows with fewer than half as many unmeasured sites as the fullest
    are left out.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> table = s2s.get.reliability_df(dense, scales=(1, 4))
    >>> bool(table[4].mean() > table[1].mean())
    True
    """
    check_adata(adata)
    check_type("scales", scales, "integers", int, np.integer, Iterable)
    given = [scales] if isinstance(scales, int | np.integer) else scales
    widths = [check_int("scales", width, least=1) for width in given]
    if len(set(widths)) < len(widths):
        msg = f"scales must differ, found {widths}"
        raise ValueError(msg)
    if regions is not None:
        check_name("regions", regions)
        if regions not in adata.obs:
            msg = f"regions {regions!r} not found in adata.obs, which has: {few(adata.obs.columns)}"
            raise KeyError(msg)
    drawn = draws(adata, n, genes=genes, key=key, rng=rng)
    plain = dense(adata, key, genes=genes)
    unmeasured = ~read_mask(plain, _keys.VISIBLE.format(key))
    parts = []
    for section in read_sections(plain):
        sites = unmeasured[section.rows]
        if sites.any():
            averages = window_averages(section.lattice.index[sites], [1, *widths])
            if regions is not None:
                averages.append(_average(pd.factorize(plain.obs[regions].iloc[section.rows[sites]])[0]))
            parts.append((section.rows[sites], averages))
    correlations = [_correlations(plain, draw, parts) for draw in drawn]
    found = mean_over_sections(correlations, [1] * len(correlations))
    column = _keys.RELIABILITY.format(key)
    if column in plain.var:
        single, cross_validated = found[0], plain.var[column].to_numpy(np.float64)
        known = (single > 0) & (cross_validated >= 0)
        found *= np.sqrt(np.divide(cross_validated, single, out=np.ones_like(single), where=known))
        np.minimum(found, 1, out=found)
    columns = pd.Index([*widths, *([] if regions is None else [regions])], dtype=None if regions is None else object)
    return pd.DataFrame(found[1:].T, plain.var_names, columns)


def window_averages(index: NDArray[np.int64], widths: Sequence[int]) -> list[csr_array]:
    """Return operators (n_windows, n_sites) that average over windows of each width, without those hardly filled."""
    made = []
    for width in widths:
        _, window = np.unique(index // width, axis=0, return_inverse=True)
        sizes = np.bincount(window.ravel())[window.ravel()]
        made.append(_average(np.where(sizes >= sizes.max() / 2, window.ravel(), -1)))
    return made


def _average(group: NDArray[np.intp]) -> csr_array:
    """Return the operator that averages sites over groups, (n_groups, n_sites); sites of group -1 are left out."""
    sites = np.flatnonzero(group >= 0)
    _, row, sizes = np.unique(group[sites], return_inverse=True, return_counts=True)
    return csr_array((1 / sizes[row], (row, sites)), shape=(len(sizes), len(group)))


def _correlations(
    plain: AnnData, draw: AnnData, parts: list[tuple[NDArray[np.int64], list[csr_array]]]
) -> NDArray[np.float64]:
    """Correlation of the layer with a draw, (n_scales, n_genes), a block of genes at a time."""
    blocks = []
    for block in gene_blocks(np.ones(plain.n_vars, bool)):
        of_sections = []
        for rows, averages in parts:
            drawn, mean = draw.X[rows, block], plain.X[rows, block]
            found = np.full((len(averages), drawn.shape[1]), np.nan)
            for scale, average in enumerate(averages):
                if average.shape[0] >= FEWEST:
                    found[scale] = pearson(average @ drawn, average @ mean)
            of_sections.append(found)
        blocks.append(mean_over_sections(of_sections, [len(rows) for rows, _ in parts]))
    return np.concatenate(blocks, axis=1)
