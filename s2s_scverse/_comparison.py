"""Comparison of methods over genes: tables, bootstrap intervals and paired tests."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from ._scores import COVERAGE, SCORES

__all__ = ["bootstrap_interval", "holm", "paired_test", "pairs_frame", "scores_frame", "summary_frame"]

Table = Mapping[str, NDArray[np.float64]]
"""Values of every score, (n_methods, n_genes)."""

DRAWS = 2**23  # random numbers in memory at a time


def scores_frame(methods: Sequence[str], genes: pd.Index, table: Table) -> pd.DataFrame:
    """Return one row for each method and gene."""
    method = pd.Categorical.from_codes(np.repeat(np.arange(len(methods)), len(genes)), categories=pd.Index(methods))
    scores = {name: table[name].ravel() for name in _present(table)}
    return pd.DataFrame({"gene": np.tile(genes.to_numpy(dtype=object), len(methods)), "method": method, **scores})


def summary_frame(methods: Sequence[str], table: Table, n_bootstrap: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return one row for each method and score: number of genes, mean, and its 95 % bootstrap interval."""
    names = _present(table)
    rows = [(method, name) for method in methods for name in names]
    columns = np.stack([table[name] for name in names], axis=1).reshape(len(rows), -1).T  # (n_genes, n_rows)
    lower, upper = bootstrap_interval(columns, n_bootstrap, rng)
    frame = pd.DataFrame(rows, columns=["method", "score"])
    frame["method"] = pd.Categorical(frame["method"], categories=list(methods))
    frame["score"] = pd.Categorical(frame["score"], categories=names)
    known = np.isfinite(columns)
    number, total = known.sum(axis=0), np.where(known, columns, 0).sum(axis=0)
    mean = np.divide(total, number, out=np.full(len(rows), np.nan), where=number > 0)
    return frame.assign(n_genes=number, mean=mean, lower=lower, upper=upper)


def pairs_frame(methods: Sequence[str], table: Table) -> pd.DataFrame:
    """Return one row for each score and pair of methods, without the coverage, whose best value is its level."""
    pairs = list(combinations(range(len(methods)), 2))
    rows = [
        (name, methods[a], methods[b], *paired_test(table[name][a], table[name][b]))
        for name in SCORES
        for a, b in pairs
    ]
    frame = pd.DataFrame(rows, columns=["score", "first", "second", "n_genes", "difference", "statistic", "pvalue"])
    frame = frame.astype({"n_genes": np.int64, "difference": float, "statistic": float, "pvalue": float})
    for name, categories in (("score", SCORES), ("first", methods), ("second", methods)):
        frame[name] = pd.Categorical(frame[name], categories=list(categories))
    pvalues = frame["pvalue"].to_numpy().reshape(len(SCORES), len(pairs))
    return frame.assign(pvalue_holm=np.concatenate([holm(family) for family in pvalues]))


def bootstrap_interval(
    scores: NDArray[np.float64], n_bootstrap: int, rng: np.random.Generator, *, level: float = 0.95
) -> NDArray[np.float64]:
    """Return percentile intervals of means over genes, (2, n_columns), with the same resamples for every column.

    `scores` (n_genes, n_columns) are NaN where a gene has none. The interval of a column without scores is NaN.
    """
    n_genes = len(scores)
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0)
    means = []
    step = max(DRAWS // n_genes, 1)
    for start in range(0, n_bootstrap, step):
        size = min(step, n_bootstrap - start)
        drawn = rng.integers(n_genes, size=(size, n_genes)) + n_genes * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n_genes).reshape(size, n_genes).astype(np.float64)
        number = times @ known
        means.append(np.divide(times @ filled, number, out=np.full(number.shape, np.nan), where=number > 0))
    resampled = np.concatenate(means)
    ends = np.full((2, scores.shape[1]), np.nan)
    for column in np.flatnonzero(known.any(axis=0)):
        ends[:, column] = np.nanquantile(resampled[:, column], [(1 - level) / 2, (1 + level) / 2])
    return ends


def paired_test(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, float, float, float]:
    """Compare paired scores of genes, (n_genes,) each, by Wilcoxon's signed-rank test.

    Returns the number of genes with both scores, the mean difference (first - second), the statistic and the two-sided
    p value (1 if no gene differs, NaN without genes).
    """
    difference = first - second
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return 0, np.nan, np.nan, np.nan
    if not difference.any():
        return len(difference), 0.0, 0.0, 1.0
    result = wilcoxon(difference)
    return len(difference), float(difference.mean()), float(result.statistic), float(result.pvalue)


def holm(pvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p values by Holm's step-down method; NaN are ignored."""
    adjusted = np.full(len(pvalues), np.nan)
    known = np.flatnonzero(np.isfinite(pvalues))
    order = known[np.argsort(pvalues[known], kind="stable")]
    factor = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(pvalues[order] * factor), 1)
    return adjusted


def _present(table: Table) -> list[str]:
    """Return the names of the scores, with the coverage if any method has it."""
    return [name for name in (*SCORES, COVERAGE) if name != COVERAGE or np.isfinite(table[name]).any()]
