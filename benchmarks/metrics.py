"""Scores per gene: arrays (n_sites, n_genes) in, arrays (n_genes,) out."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import norm

from s2s_scverse._scores import coverage, pearson, rmse

Array = NDArray[np.floating]


def noise_ceiling(counts: csr_matrix, columns: NDArray[np.intp], *, repeats: int = 5) -> Array:
    """Return the correlation with noisy values that a prediction without error would have.

    Molecules of every spot are split at random into halves, which are log-normalised; with r the correlation of the
    halves over spots, that of the whole counts with a repeated measurement is 2 r / (1 + r) (Spearman-Brown), and that
    with the noiseless expression its square root. Mean of r over repeats; 0 where r is negative.
    """
    rng = np.random.default_rng(0)
    total = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
    scored = csr_matrix(counts)[:, columns].toarray().astype(np.int64)
    rest = total - scored.sum(axis=1)
    found = []
    for _ in range(repeats):
        half, others = rng.binomial(scored, 0.5), rng.binomial(rest, 0.5)
        depth = half.sum(axis=1) + others
        rows = (depth > 0) & (depth < total)
        pair = ((half, depth), (scored - half, total - depth))
        values = [np.log1p(each[rows] * (np.median(total) / of[rows])[:, None]) for each, of in pair]
        found.append(np.nan_to_num(pearson(*values)))
    r = np.clip(np.mean(found, axis=0), 0, 1)
    return np.asarray(np.sqrt(2 * r / (1 + r)))


def crps(truth: Array, mean: Array, std: Array) -> Array:
    """Continuous ranked probability score of normal distributions, mean over sites."""
    std = np.maximum(std, 1e-9)
    z = (truth - mean) / std
    return np.asarray((std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))).mean(axis=0))


def morans_i(values: Array, pairs: NDArray[np.intp]) -> Array:
    """Moran's I with neighbours `pairs`; NaN where values are constant."""
    centred = values - values.mean(axis=0, dtype=float)
    with np.errstate(invalid="ignore"):
        product = (centred[pairs[:, 0]] * centred[pairs[:, 1]]).mean(axis=0)
        return np.asarray(product / np.square(centred).mean(axis=0))


def scores(
    truth: Array, mean: Array, std: Array | None, values: Array, pairs: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Return all scores; CRPS and coverage are NaN without standard deviations."""
    missing = np.full(truth.shape[1], np.nan)
    of_truth, of_map = (morans_i(np.vstack([values, each]).astype(float), pairs) for each in (truth, mean))
    return {
        "pcc": np.nan_to_num(pearson(truth, mean)),
        "rmse": rmse(truth, mean),
        "crps": missing if std is None else crps(truth, mean, std),
        "coverage": missing if std is None else coverage(truth, mean, std),
        "moran": of_truth,
        "moran_bias": of_map - of_truth,
    }
