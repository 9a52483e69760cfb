import pandas as pd
from anndata import AnnData

from .. import _keys
from .._adata import find_runs
from .._checks import check_adata, check_name, few, read_table

AGAIN = "call s2s.tl.impute with uncertainty=True, on a section with unmeasured sites and at least 16 measured spots"
NO_STD = f"run {{!r}} has no standard deviations; {AGAIN}"


def evaluation_df(adata: AnnData) -> pd.DataFrame:
    """Return the scores of every gene and method.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.evaluate` was run on.

    Returns
    -------
    Copy of the table: one row for each `gene` and `method` with `pcc`, `spearman`, `rmse`, `mae`, `ssim` and, if a
    method has standard deviations, `coverage`.

    Raises
    ------
    KeyError
        If nothing was evaluated.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> s2s.tl.interpolate(dense, "linear")
    >>> s2s.tl.evaluate(dense, "linear")
    >>> list(s2s.get.evaluation_df(dense).columns)
    ['gene', 'method', 'pcc', 'spearman', 'rmse', 'mae', 'ssim']
    """
    return _table(adata, "scores")


def evaluation_summary_df(adata: AnnData) -> pd.DataFrame:
    """Return the mean scores of every method.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.evaluate` was run on.

    Returns
    -------
    Copy of the table: one row for each `method` and `score` with `n_genes` that have this score, their `mean`, and the
    `lower` and `upper` ends of its 95 % bootstrap interval over genes.

    Raises
    ------
    KeyError
        If nothing was evaluated.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> s2s.tl.interpolate(dense, "linear")
    >>> s2s.tl.evaluate(dense, "linear")
    >>> list(s2s.get.evaluation_summary_df(dense).columns)
    ['method', 'score', 'n_genes', 'mean', 'lower', 'upper']
    """
    return _table(adata, "summary")


def evaluation_tests_df(adata: AnnData) -> pd.DataFrame:
    """Return the paired tests between methods.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.evaluate` was run on.

    Returns
    -------
    Copy of the table: one row for each `score` and pair of methods (`first`, `second`) with `n_genes` that have both
    scores, mean `difference` (first - second), `statistic` and `pvalue` of the two-sided Wilcoxon signed-rank test, and
    `pvalue_holm`, adjusted for the number of pairs.

    Raises
    ------
    KeyError
        If nothing was evaluated.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> s2s.tl.interpolate(dense, "linear")
    >>> s2s.tl.interpolate(dense, "nearest")
    >>> s2s.tl.evaluate(dense, ["linear", "nearest"])
    >>> list(s2s.get.evaluation_tests_df(dense).columns)
    ['score', 'first', 'second', 'n_genes', 'difference', 'statistic', 'pvalue', 'pvalue_holm']
    """
    return _table(adata, "tests")


def history_df(adata: AnnData, key: str = _keys.UNS) -> pd.DataFrame:
    """Return the training history of a run.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    key
        Name of the run (its `key_added`).

    Returns
    -------
    One row per `epoch` with mean training losses of the terms in use (`loss_genes_sparser`, `loss_genes_dense`,
    `loss_images_sparser`, `loss_images_dense`), and the squared error of the network (`validation`) and of the initial
    estimate (`validation_start`) at the validation spots, in units of the genes' variances.

    Raises
    ------
    KeyError
        If the run does not exist.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> training = s2s.tl.TrainingConfig(max_epochs=2)
    >>> s2s.tl.impute(dense, training=training, progress=False)
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


def read_reliability(adata: AnnData, key: str) -> pd.Series:
    """Return the expected PCC of every gene that has one."""
    check_name("key", key)
    column = _keys.RELIABILITY.format(key)
    if column not in adata.var:
        have = [name for name in find_runs(adata) if _keys.RELIABILITY.format(name) in adata.var]
        msg = f"adata.var has no {column!r}; runs that have one: {few(have) or 'none'}; {AGAIN}"
        raise KeyError(msg)
    found: pd.Series = adata.var[column].astype(float).dropna()
    return found


def _table(adata: AnnData, name: str) -> pd.DataFrame:
    check_adata(adata)
    tables = adata.uns.get(_keys.UNS, {}).get(_keys.EVALUATION, {})
    if name not in tables:  # anndata.concat can leave an empty entry
        msg = f"no scores found in adata.uns[{_keys.UNS!r}]; call s2s.tl.evaluate(adata, keys) first"
        raise KeyError(msg)
    return read_table(tables[name]).reset_index(drop=True)
