from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.stats import t as student

from .. import _keys
from .._checks import check_bool, check_int, check_positive, few
from .._progress import Progress
from ..get import draws
from ._blocks import LARGE_TASKS, current_client

Estimate: TypeAlias = float | NDArray[Any] | pd.Series | pd.DataFrame


def propagate(
    adata: AnnData,
    statistic: Callable[[AnnData], Estimate | tuple[Estimate, Estimate]],
    n: int = 20,
    *,
    genes: str | Sequence[str] | None = None,
    key: str = _keys.UNS,
    level: float = 0.9,
    rng: int | np.random.Generator | None = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute any statistic of an imputed section, with the uncertainty that is due to imputation.

    The statistic is computed on conditional draws (:func:`s2s_scverse.get.draws`), not on the imputed means, on which
    most statistics are biased. Its mean over draws is the estimate.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on with ``uncertainty=True``. Not changed.
    statistic
        Function of an AnnData whose X is one draw, which it may change. It returns a number, an array, a Series or a
        DataFrame, the same entries for each draw; or a tuple of that and its sampling variance, as of a regression
        coefficient, in the same shape. If there is a client of `dask.distributed`, its workers call the function.
    n
        Number of draws, at least 2.
    genes
        Genes to draw, by default all that were imputed.
    key
        Name of the run (its `key_added`).
    level
        Coverage of the intervals, 0 to 1.
    rng
        Seed or generator of the draws.
    progress
        Whether to show a progress bar.

    Returns
    -------
    A DataFrame with one row for each entry of the statistic: its index is that of a Series, that of a DataFrame
    stacked (``result["estimate"].unstack()`` has the shape of the DataFrame), or positions in an array. Columns:

    `estimate`
        Mean over draws.
    `sd`
        Standard deviation of the error of the estimate: the root of B (1 + 1/n) + U, with the variance B between draws
        and the mean sampling variance U (0 if `statistic` returns none); Rubin's rules :cite:p:`rubin1987`.
    `lower`, `upper`
        Interval of that level, from Student's distribution with Rubin's degrees of freedom. Without sampling variances
        it is an interval for the statistic of the fully measured section.
    `p_value`
        Two-sided, for a statistic of 0; only if `statistic` returns variances.
    `imputation_share`
        B (1 + 1/n) in units of the squared `sd`; only if `statistic` returns variances.

    Raises
    ------
    KeyError
        As :func:`s2s_scverse.get.draws`.
    TypeError, ValueError
        If an argument is not as described, or results differ in shape between draws. Errors of `statistic` are passed
        on.

    Examples
    --------
    The fraction of the section in which each gene exceeds 2:

    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> table = s2s.tl.propagate(dense, lambda draw: (draw.to_df() > 2).mean(), n=5, progress=False)
    >>> table.index.equals(dense.var_names)
    True
    """
    if not callable(statistic):
        msg = f"statistic must be a function of an AnnData, found {statistic!r} ({type(statistic).__name__})"
        raise TypeError(msg)
    n, level = check_int("n", n, least=2), check_positive("level", level, below=1)
    check_bool("progress", progress)
    found: list[pd.Series[float]] = []
    variances: list[pd.Series[float]] = []
    drawn = draws(adata, n, genes=genes, key=key, rng=rng)
    with Progress(show=progress) as bar, closing(_results(statistic, drawn)) as results:
        bar.begin("draws", n)
        for result in results:
            pair = result if isinstance(result, tuple) else (result, None)
            if len(pair) != 2:
                msg = f"statistic must return one result, or an estimate and its variance, found {len(pair)} results"
                raise ValueError(msg)
            estimate, variance = pair
            found.append(_aligned(_entries(estimate), found))
            if variance is not None:
                variances.append(_aligned(_entries(variance), found))
            bar.step()
    return _combined(found, variances, level)


def _results(statistic: Callable[[AnnData], Any], drawn: Iterator[AnnData]) -> Generator[Any]:
    """Yield the statistic of each draw; workers of a dask cluster get a few draws ahead."""
    client = current_client()
    if client is None:
        yield from map(statistic, drawn)
        return
    import dask

    pending: deque[Any] = deque()
    try:
        for draw in drawn:
            with dask.config.set(LARGE_TASKS):
                pending.append(client.submit(statistic, draw, pure=False))
            if len(pending) > 2 * sum(client.nthreads().values()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        client.cancel(list(pending))


def _entries(result: Any) -> "pd.Series[float]":
    """Return the entries of a statistic as a Series of float64."""
    if isinstance(result, pd.DataFrame):
        index = pd.MultiIndex.from_product([result.index, result.columns])
        return pd.Series(result.to_numpy(np.float64).ravel(), index)
    if isinstance(result, pd.Series):
        return result.astype(np.float64)
    array = np.asarray(result, np.float64)
    if array.ndim < 2:
        return pd.Series(array.reshape(-1))
    return pd.Series(array.ravel(), pd.MultiIndex.from_product([range(size) for size in array.shape]))


def _aligned(entries: "pd.Series[float]", earlier: "list[pd.Series[float]]") -> "pd.Series[float]":
    """Bring entries into the order of the first draw's; functions of squidpy sort by value."""
    first = earlier[0].index if earlier else entries.index
    if entries.index.equals(first):
        return entries
    if not (entries.index.is_unique and len(first) == len(entries) and entries.index.isin(first).all()):
        names = few(entries.index.symmetric_difference(first)) or "repeated names"
        msg = (
            f"statistic must return the same entries for every draw, and variances those of the estimate; found "
            f"{len(first)} and then {len(entries)}, which differ in {names}"
        )
        raise ValueError(msg)
    return entries.reindex(first)


def _combined(found: "list[pd.Series[float]]", variances: "list[pd.Series[float]]", level: float) -> pd.DataFrame:
    """Combine draws by Rubin's rules."""
    n, values = len(found), np.stack([each.to_numpy() for each in found])
    between = (1 + 1 / n) * values.var(axis=0, ddof=1)
    within = np.mean([each.to_numpy() for each in variances], axis=0) if variances else np.zeros_like(between)
    estimate, total = values.mean(axis=0), between + within
    with np.errstate(divide="ignore", invalid="ignore"):
        share = between / total
        degrees = (n - 1) / np.square(np.where(between > 0, share, 1))
        p_value = 2 * student.sf(np.abs(estimate) / np.sqrt(total), degrees)
    half = student.ppf((1 + level) / 2, degrees) * np.sqrt(total)
    table = {"estimate": estimate, "sd": np.sqrt(total), "lower": estimate - half, "upper": estimate + half}
    if variances:
        table |= {"p_value": p_value, "imputation_share": share}
    return pd.DataFrame(table, index=found[0].index)
