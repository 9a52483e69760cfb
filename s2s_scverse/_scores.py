"""Gene-wise scores of predictions: functions of arrays (n_spots, n_genes) that return (n_genes,)."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import norm, rankdata

from ._lattice import Lattice

__all__ = [
    "COVERAGE",
    "SCORES",
    "Scorer",
    "coverage",
    "mean_over_sections",
    "pearson",
    "ranks",
    "rmse",
    "similarity_map",
    "window",
]

Float: TypeAlias = NDArray[np.floating]
Float64: TypeAlias = NDArray[np.float64]

SCORES: Final = ("pcc", "spearman", "rmse", "mae", "ssim")  # of all methods
COVERAGE: Final = "coverage"  # of methods with standard deviations
SIGMA = 1.5  # standard deviation of the window of SSIM, in pitches
REACH = 5  # radius of that window in steps: the usual 11 sites across


class Scorer:
    """Scores of predictions for a block of genes with known `truth`, (n_spots, n_genes).

    SSIM uses the `data_range` of each gene, (n_genes,), and the weights of a `window`, (n_spots, n_spots).
    """

    def __init__(self, truth: Float, data_range: Float, weights: csr_array) -> None:
        self._truth = truth
        self._ranks = ranks(truth)
        self._data_range = data_range
        self._weights = weights

    def __call__(self, prediction: Float, std: Float | None = None) -> dict[str, Float64]:
        """Return all scores by name, (n_genes,) each; the coverage is NaN without standard deviations."""
        truth = self._truth
        return {
            "pcc": pearson(truth, prediction),
            "spearman": pearson(self._ranks, ranks(prediction)),
            "rmse": rmse(truth, prediction),
            "mae": np.abs(prediction.astype(np.float64) - truth).mean(axis=0),
            "ssim": similarity_map(truth, prediction, self._weights, self._data_range).mean(axis=0),
            COVERAGE: np.full(truth.shape[1], np.nan) if std is None else coverage(truth, prediction, std),
        }


def pearson(truth: Float, prediction: Float) -> Float64:
    """Return Pearson's correlation over spots; NaN if the truth is constant, else 0 if the prediction is."""
    first, second = (values - values.mean(axis=0, dtype=np.float64) for values in (truth, prediction))
    scale = np.sqrt(np.square(first).sum(axis=0) * np.square(second).sum(axis=0))
    constant = _constant(prediction) | (scale == 0)
    correlation = (first * second).sum(axis=0) / np.where(constant, 1, scale)
    correlation = np.where(constant, 0, np.clip(correlation, -1, 1))
    return np.where(_constant(truth), np.nan, correlation)


def ranks(values: Float) -> Float64:
    """Return ranks over spots, with ties averaged."""
    ranked = rankdata(np.ascontiguousarray(values.T), axis=1)
    return np.asarray(ranked, dtype=np.float64).T


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


def _constant(values: Float) -> NDArray[np.bool_]:
    return np.asarray(values.max(axis=0) == values.min(axis=0))


def mean_over_sections(values: Sequence[Float64], weights: Sequence[float]) -> Float64:
    """Return the weighted mean of arrays of the sections, without NaN."""
    stacked = np.stack(values)
    weight = np.asarray(weights, float).reshape(-1, *[1] * (stacked.ndim - 1)) * ~np.isnan(stacked)
    total = weight.sum(axis=0)
    summed = np.nansum(stacked * weight, axis=0)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))
