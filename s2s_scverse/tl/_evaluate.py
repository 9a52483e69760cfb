import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import _adata, _keys
from .._checks import check_adata, check_genes, check_int, check_rng, few
from .._scores import Table, mean_over_sections, pairs_frame, score_genes, scores_frame, summary_frame, window

GENE_BLOCK = 1024  # number of genes that are scored at a time


def evaluate(
    adata: AnnData,
    keys: str | Sequence[str] = (_keys.UNS,),
    *,
    layer: str | None = None,
    genes: str | Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> AnnData | None:
    """Score imputed layers on held-out spots, gene by gene, and compare their methods.

    Only spots in ``.obs['s2s_held_out']`` are scored. A layer of :func:`s2s_scverse.tl.impute` or
    :func:`s2s_scverse.tl.interpolate` is refused if any of these spots was visible to it, according to
    ``.obs[f'{key}_visible']``. Layers without such a record are refused only if they equal the truth at all held-out
    spots of a section.

    Parameters
    ----------
    adata
        A section with spots held out by :func:`s2s_scverse.pp.sparsify`, and imputed afterwards.
    keys
        Names of the layers to score, one for each method.
    layer
        Layer with the true values. By default the layer that the methods read.
    genes
        Names of the genes to score, by default all that are in every layer.
    n_bootstrap
        Number of resamples of genes for the intervals of mean scores.
    rng
        Seed or generator of the resamples.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy. Sets the following field:

    `.uns['s2s']['evaluation']`
        Tables `scores`, `summary` and `tests` (see :func:`s2s_scverse.get.evaluation_df`,
        :func:`s2s_scverse.get.evaluation_summary_df` and :func:`s2s_scverse.get.evaluation_tests_df`), `truth`,
        `n_spots` scored, `n_bootstrap` and `versions`. Replaces an earlier evaluation.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a layer or gene does not exist.
    TypeError, ValueError
        If an argument is invalid, no spot is held out, a held-out spot was visible to a method, a layer has missing
        values at some held-out spots, or no gene is in all layers.

    Warns
    -----
    UserWarning
        If held-out spots are not scored because a method left them NaN.

    Notes
    -----
    Scores of a gene are computed over the held-out spots of each section, and averaged over sections with the number of
    spots as weights. Spots that a method left NaN are excluded.

    ``pcc``, ``spearman``
        Pearson's and Spearman's correlation (ties averaged). NaN if the truth is constant; 0 if only the prediction is.
    ``rmse``, ``mae``
        Root mean squared and mean absolute error, on the scale of the values.
    ``ssim``
        Structural similarity :cite:p:`Wang2004` on the lattice of spots, averaged over held-out spots. Local means,
        variances and covariances are weighted by a Gaussian with a standard deviation of 1.5 spot pitches, truncated at
        5 pitches and normalised over held-out spots. The data range of a gene is that of its true values at measured
        spots; NaN if it is 0. The constants are 0.01 and 0.03. On a complete square lattice this is scikit-image's
        ``gaussian_weights=True, use_sample_covariance=False``, except near the border.
    ``coverage``
        If ``.layers[f'{key}_std']`` exists for a key: fraction of the spots inside the central 90 % interval of a
        normal distribution with this mean and standard deviation.

    Intervals are percentiles of means over resampled genes, the same for all methods. Pairs of methods are compared by
    Wilcoxon's signed-rank test over genes, with Holm's adjustment for the number of pairs within each score. Both treat
    genes as independent, and describe differences over genes of this section only.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> s2s.tl.interpolate(dense, "nearest")
    >>> s2s.tl.interpolate(dense, "kriging")
    >>> s2s.tl.evaluate(dense, ["nearest", "kriging"])
    >>> summary = s2s.get.evaluation_summary_df(dense)
    >>> nearest, kriging = summary.loc[summary["score"] == "rmse", "mean"]
    >>> bool(kriging < nearest)
    True
    """
    check_adata(adata)
    names = _adata.check_keys(adata, keys)
    columns = check_genes(adata, genes)
    n_bootstrap = check_int("n_bootstrap", n_bootstrap, least=1)
    generator = check_rng(rng)
    sections = _adata.read_sections(adata)
    measured = _adata.read_mask(adata, _keys.MEASURED)
    held_out = _adata.read_mask(adata, _keys.HELD_OUT)
    if not held_out.any():
        msg = (
            f"no spot is held out (adata.obs[{_keys.HELD_OUT!r}] is missing or False everywhere), so there is no truth "
            "to score against; call s2s.pp.sparsify, then impute again"
        )
        raise ValueError(msg)
    _adata.check_apart(measured, held_out)
    source = _adata.find_source(adata, names, layer)
    if source in names:
        msg = f"layer {source!r} is both in keys and the truth; expected other layers in keys"
        raise ValueError(msg)
    _check_unseen(adata, names, held_out)

    scored, columns = _find_scored(adata, names, columns, held_out, skip_missing=genes is None)
    tables, n_spots = [], []
    for section in sections:
        here = np.isin(np.arange(adata.n_obs), section.rows)
        if (here & scored).any():
            spots = (measured | held_out)[section.rows]
            on_spots = section.lattice.subset(spots).coarsened(section.lattice.stride(spots))
            weights = window(on_spots.subset(scored[section.rows][spots]))
            table = _score_genes(adata, names, columns, source, measured & here, scored & here, weights)
            _check_no_copy(adata, table, names, int((here & scored).sum()))
            tables.append(table)
            n_spots.append(int((here & scored).sum()))
    table = tables[0]
    if len(tables) > 1:
        table = {score: mean_over_sections([each[score] for each in tables], n_spots) for score in table}
    entry = {
        "scores": scores_frame(names, adata.var_names[columns], table),
        "summary": summary_frame(names, table, n_bootstrap, generator),
        "tests": pairs_frame(names, table),
        "truth": source or "X",
        "n_spots": sum(n_spots),
        "n_bootstrap": n_bootstrap,
        "versions": _adata.versions("numpy", "scipy"),
    }
    return _adata.write_evaluation(adata, entry, copy=copy)


def _find_scored(
    adata: AnnData, names: list[str], columns: NDArray[np.int64], held_out: NDArray[np.bool_], *, skip_missing: bool
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the held-out spots, (n_obs,), and the columns of genes that no method left NaN; warn of other spots."""
    spots, genes = np.ones(int(held_out.sum()), dtype=bool), np.ones(len(columns), dtype=bool)
    for name in names:
        reached, given = np.zeros_like(spots), np.zeros_like(genes)
        for start in range(0, len(columns), GENE_BLOCK):
            block = slice(start, start + GENE_BLOCK)
            known = ~np.isnan(_adata.read_values(adata, held_out, columns[block], layer=name, finite=False))
            reached |= known.any(axis=1)
            given[block] = known.any(axis=0)
        if not given.all() and not skip_missing:
            absent = few(adata.var_names[columns[~given]])
            msg = f"genes not imputed in layer {name!r}: {absent}; impute them, or pass genes=None to skip them"
            raise ValueError(msg)
        spots &= reached
        genes &= given
    if not genes.any():
        msg = f"no gene is in all of the layers {few(names)}; impute the same genes in each"
        raise ValueError(msg)
    if far := int((~spots).sum()):
        warnings.warn(
            f"{far} of {len(spots)} held-out spots are not scored: a method left them NaN, since they are too far from "
            "measured spots",
            UserWarning,
            stacklevel=3,
        )
    scored = held_out.copy()
    scored[held_out] = spots if spots.any() else True  # layers with NaN are refused
    return scored, columns[genes]


def _check_unseen(adata: AnnData, names: list[str], held_out: NDArray[np.bool_]) -> None:
    """Refuse layers to which held-out spots were visible, if that is recorded."""
    for name in names:
        visible = _adata.read_visible(adata, name)
        if visible is not None and (seen := int((visible & held_out).sum())):
            msg = (
                f"layer {name!r} cannot be scored: {seen} of {int(held_out.sum())} held-out spots were visible to its "
                f"method (adata.obs[{_keys.VISIBLE.format(name)!r}]); run the method again, after s2s.pp.sparsify"
            )
            raise ValueError(msg)


def _score_genes(
    adata: AnnData,
    names: Sequence[str],
    columns: NDArray[np.int64],
    truth: str | None,
    measured: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    weights: csr_array,
) -> Table:
    """Compare the layers `names` with the layer `truth` (None for X) at the spots `held_out`, (n_obs,).

    SSIM uses the data range at `measured` spots and `weights`, (n_held_out, n_held_out).
    """
    parts = []
    for genes in np.split(columns, range(GENE_BLOCK, len(columns), GENE_BLOCK)):
        read = partial(_adata.read_values, adata, held_out, genes, finite=False)
        values = {layer: read(layer=layer) for layer in (truth, *names)}
        for layer, found in values.items():
            if (bad := ~np.isfinite(found).all(axis=0)).any():
                what = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
                where = f"at held-out spots for {few(adata.var_names[genes[bad]])}"
                msg = f"{what} is NaN or infinite {where}; set these values or pass other genes"
                raise ValueError(msg)
        data_range = np.full(len(genes), np.nan, dtype=np.float32)
        if measured.any():
            data_range = np.ptp(_adata.read_values(adata, measured, genes, layer=truth), axis=0)
        stds = [read(layer=std) if std in adata.layers else None for std in map(_keys.STD.format, names)]
        parts.append(score_genes(values[truth], [values[name] for name in names], stds, weights, data_range))
    return {key: np.hstack([part[key] for part in parts]) for key in parts[0]}


def _check_no_copy(adata: AnnData, table: Table, names: list[str], n_spots: int) -> None:
    """Refuse layers that equal the truth, if it is not recorded what was visible to their methods."""
    varies = np.isfinite(table["pcc"][0])  # predictions of constant genes may equal the truth
    for name, error in zip(names, table["rmse"], strict=True):
        if varies.any() and not error[varies].any() and _adata.read_visible(adata, name) is None:
            msg = (
                f"layer {name!r} cannot be scored: it equals the truth at all {n_spots} held-out spots, so they were "
                "visible to its method; impute after s2s.pp.sparsify"
            )
            raise ValueError(msg)
