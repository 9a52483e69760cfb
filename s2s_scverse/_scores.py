"""Gene-wise scores of predictions (n_spots, n_genes), and the comparison of methods over genes."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import norm, rankdata, wilcoxon

from ._lattice import Lattice
from ._predict._arrays import Float, Float64

Table: TypeAlias = Mapping[str, Float64]  # values of every score, (n_methods, n_genes)

SCORES: Final = ("pcc", "spearman", "rmse", "mae", "ssim")  # of all methods
COVERAGE: Final = "coverage"  # of methods with standard deviations
SIGMA = 1.5  # standard deviation of the window of SSIM, in pitches
REACH = 5  # radius of that window in steps: the usual 11 sites across
DRAWS = 2**23  # random numbers in memory at a time


def score_genes(
    truth: Float, predictions: Sequence[Float], stds: Sequence[Float | None], weights: csr_array, data_range: Float
) -> Table:
    """Return all scores of predictions (n_spots, n_genes) by name, (n_methods, n_genes) each.

    SSIM uses the weights of a `window`; the coverage is NaN without standard deviations.
    """
    ranks, missing = rankdata(truth, axis=0), np.full(truth.shape[1], np.nan)
    scores = [
        {
            "pcc": pearson(truth, prediction),
            "spearman": pearson(ranks, rankdata(prediction, axis=0)),
            "rmse": rmse(truth, prediction),
            "mae": np.abs(prediction.astype(np.float64) - truth).mean(axis=0),
            "ssim": similarity_map(truth, prediction, weights, data_range).mean(axis=0),
            COVERAGE: missing if std is None else coverage(truth, prediction, std),
        }
        for prediction, std in zip(predictions, stds, strict=True)
    ]
    return {name: np.stack([each[name] for each in scores]) for name in scores[0]}


def pearson(truth: Float, prediction: Float) -> Float64:
    """Return Pearson's correlation over spots; NaN if the truth is constant, else 0 if the prediction is."""
    first, second = (values - values.mean(axis=0, dtype=np.float64) for values in (truth, prediction))
    scale = np.sqrt(np.square(first).sum(axis=0) * np.square(second).sum(axis=0))
    constant = (np.ptp(prediction, axis=0) == 0) | (scale == 0)
    correlation = (first * second).sum(axis=0) / np.where(constant, 1, scale)
    correlation = np.where(constant, 0, np.clip(correlation, -1, 1))
    return np.where(np.ptp(truth, axis=0) == 0, np.nan, correlation)


def rmse(truth: Float, prediction: Float) -> Float64:
    """Return the root mean squared error."""
    return np.asarray(np.sqrt(np.square(prediction.astype(np.float64) - truth).mean(axis=0)))


def coverage(truth: Float, prediction: Float, std: Float, *, level: float = 0.9) -> Float64:
    """Return the fraction of spots inside the central normal interval; NaN if a standard deviation is NaN."""
    half_width = norm.ppf((1 + level) / 2) * std.astype(np.float64)
    inside = np.abs(prediction.astype(np.float64) - truth) <= half_width
    return np.where(np.isnan(std).any(axis=0), np.nan, inside.mean(axis=0))


def window(lattice: Lattice) -> csr_array:
    """Return Gaussian weights between the sites of a lattice, (n_sites, n_sites), whose rows sum to 1.

    The standard deviation is 1.5 pitches, and the window is a square or hexagon 11 positions across.
    """
    steps = np.arange(-REACH, REACH + 1)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    if lattice.kind.hexagonal:
        offsets = offsets[np.abs(offsets.sum(axis=1)) <= REACH]
    distance = np.square(offsets @ np.asarray(lattice.kind.unit_basis)).sum(axis=1)
    weight = np.exp(-distance / (2 * SIGMA**2))

    neighbour = lattice.find((lattice.index[:, None] + offsets).reshape(-1, 2)).reshape(len(lattice), -1)
    found = neighbour >= 0
    weights = np.where(found, weight, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    ends = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    return csr_array((weights[found], neighbour[found], ends), shape=(len(lattice), len(lattice)))


def similarity_map(truth: Float, prediction: Float, weights: csr_array, data_range: Float) -> Float64:
    """Return the structural similarity at every spot, (n_spots, n_genes), whose mean over spots is SSIM.

    It is ``(2 m_t m_p + c1) (2 cov + c2) / ((m_t^2 + m_p^2 + c1) (var_t + var_p + c2))`` with means, variances and the
    covariance weighted by each spot's row, ``c1 = (0.01 L)^2``, ``c2 = (0.03 L)^2`` and the `data_range` L, (n_genes,).
    NaN if L is 0 or NaN.
    """
    span = np.where(data_range > 0, data_range, np.nan).astype(np.float64)
    c1, c2 = np.square(0.01 * span), np.square(0.03 * span)
    # Centring avoids cancellation in the differences of squares.
    centre = truth.mean(axis=0, dtype=np.float64)
    first, second = truth - centre, prediction - centre
    mean_first, mean_second = weights @ first, weights @ second
    covariance = weights @ (first * second) - mean_first * mean_second
    variances = weights @ (first * first + second * second) - mean_first**2 - mean_second**2
    mean_first += centre
    mean_second += centre
    similar_level = (2 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    return np.asarray(similar_level * (2 * covariance + c2) / (variances + c2))


def mean_over_sections(values: Sequence[Float64], weights: Sequence[float]) -> Float64:
    """Return the weighted mean of arrays of the sections, without NaN."""
    means = np.ma.average(np.ma.masked_invalid(np.stack(values)), axis=0, weights=weights)
    return np.ma.filled(means, np.nan)


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
    known = np.ma.masked_invalid(columns)
    mean = np.ma.filled(known.mean(axis=0), np.nan)
    return frame.assign(n_genes=known.count(axis=0), mean=mean, lower=lower, upper=upper)


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
    return frame.assign(pvalue_holm=frame.groupby("score", observed=False)["pvalue"].transform(_holm))


def _holm(pvalues: pd.Series) -> pd.Series:
    """Adjust p values by Holm's method; NaN are ignored."""
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped] # needs a second to import

    known = pvalues.dropna()
    adjusted = multipletests(known, method="holm")[1] if len(known) else known
    return pd.Series(adjusted, known.index).reindex(pvalues.index)


def bootstrap_interval(scores: Float64, n_bootstrap: int, rng: np.random.Generator) -> Float64:
    """Return 95 % percentile intervals of means over genes, (2, n_columns), with the same resamples for every column.

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
        ends[:, column] = np.nanquantile(resampled[:, column], [0.025, 0.975])
    return ends


def paired_test(first: Float64, second: Float64) -> tuple[int, float, float, float]:
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


def _present(table: Table) -> list[str]:
    """Return the names of the scores, with the coverage if any method has it."""
    return [name for name in (*SCORES, COVERAGE) if name != COVERAGE or np.isfinite(table[name]).any()]
