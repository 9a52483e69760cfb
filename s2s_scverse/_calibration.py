"""Calibration of uncertainty estimates by cross-validation.

All genes at once: arrays (n_spots, n_genes) of measured values and of their cross-validated predictions, and
predictions at unmeasured sites.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, poisson

__all__ = [
    "FEWEST",
    "GAIN_GENES",
    "LEVELS",
    "Calibration",
    "Pool",
    "counting_noise",
    "denoise",
    "explained",
    "gain",
]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LEVELS: Final = np.append(np.arange(0.05, 0.95, 0.05), [0.95, 0.98, 0.99])  # levels of the intervals
LEVEL: Final = 0.9  # level of the interval that standard deviations are scaled to
FEWEST: Final = 16  # smallest number of spots, or of sites, for error estimates
NORMAL: Final = float(norm.ppf((1 + LEVEL) / 2))
FEW: Final = 200  # number of spots at which gene-wise and pooled quantiles get equal weight
MANY: Final = 30.0  # molecules beyond which the logarithm of a count is nearly linear in it
SMALLEST: Final = 0.1  # lower bound of the predicted variance, relative to its mean over the gene
NEARER: Final = (0.7, 1.1)  # bounds of the ratio of errors at unmeasured sites to those in cross-validation
GAIN_GENES: Final = 64  # number of genes that the gain is estimated from
UNEXPLAINED: Final = 0.2  # smallest unexplained part of the squared error in denoising
SEEN: Final = 5  # spots with expression at which the expected correlation of a gene is halved


@dataclass(frozen=True)
class Pool:
    """Error statistics pooled over genes: a prior for gene-wise estimates."""

    factor: float = 1.0  # coefficient of the regression of measured values on cross-validated predictions
    factor_variance: float = 0.0  # its variance between genes beyond sampling
    gain: float = 1.0  # spread of predictions at the unmeasured sites over that in cross-validation, see `gain`
    slope: float = 0.0  # mean relative growth of squared errors with predictions, in standard deviations of these
    between: float = 0.0  # its variance between genes beyond sampling
    ratio: float = NORMAL  # quantile `LEVEL` of errors in units of their standard deviations
    # (n_levels,) half-widths of intervals of `LEVELS` in standard deviations
    widths: Float64 = field(default_factory=lambda: np.asarray(norm.ppf((1 + LEVELS) / 2)))

    @classmethod
    def fit(cls, values: Float32, left_out: Float32, gain: float = 1.0) -> "Pool":
        """Fit to measured values (n, n_genes) and their cross-validated predictions."""
        # Constant genes are not informative.
        varies = np.ptp(values, axis=0) > 0
        if not varies.any():
            return cls()
        errors = Errors.of(values[:, varies], left_out[:, varies])
        slope, doubt = errors.slopes()
        centre = float(slope.mean())
        between = max(0.0, float(np.mean(np.square(slope - centre) - doubt)))
        pool = cls(*_pooled_factor(values[:, varies], left_out[:, varies]), gain, centre, between)
        ratio = errors.ratio(errors.drawn(pool))
        pool = replace(pool, ratio=float(np.quantile(ratio, LEVEL)))
        return replace(pool, widths=np.quantile(ratio / errors.scale(ratio, pool), LEVELS))


@dataclass(frozen=True)
class Errors:
    """Cross-validated predictions (n, n_genes) and their residuals."""

    left_out: Float32
    residual: Float32
    variance: Float64  # (n_genes,) mean square of the residuals
    middle: Float64  # (n_genes,) mean and standard deviation of predictions
    unit: Float64

    @classmethod
    def of(cls, values: Float32, left_out: Float32) -> "Errors":
        """Errors of predictions, (n, n_genes)."""
        residual = values - left_out
        variance = np.square(residual).mean(axis=0, dtype=np.float64)
        middle, unit = left_out.mean(axis=0, dtype=np.float64), left_out.std(axis=0, dtype=np.float64)
        return cls(left_out, residual, variance, middle, unit)

    def slopes(self) -> tuple[Float64, Float64]:
        """Growth of squared errors with predictions (both relative) for each gene, and its sampling variance."""
        position = (self.left_out - self.middle) / np.maximum(self.unit, 1e-9)
        product = position * (np.square(self.residual) / np.maximum(self.variance, 1e-12) - 1)
        return product.mean(axis=0), np.square(product.std(axis=0)) / len(product)

    def drawn(self, pool: Pool) -> Float64:
        """Growth of every gene, shrunken towards the pooled growth by its sampling variance."""
        slope, doubt = self.slopes()
        result: Float64 = pool.slope + pool.between / np.maximum(pool.between + doubt, 1e-12) * (slope - pool.slope)
        return result

    def ratio(self, slope: Float64) -> Float64:
        """Errors in units of the standard deviations that follow from the growth, (n, n_genes)."""
        spread = self.std(self.left_out, slope, np.ones_like(slope))
        return np.asarray(np.abs(self.residual) / np.maximum(spread, 1e-9), np.float64)

    def scale(self, ratio: Float64, pool: Pool) -> Float64:
        """Scale factor for the standard deviations, shrunken towards the pooled value."""
        quantile = np.quantile(ratio, LEVEL, axis=0)
        part = len(ratio) / (len(ratio) + FEW)
        return np.asarray((pool.ratio + part * (quantile - pool.ratio)) / NORMAL)

    def std(self, predicted: Float32, slope: Float64, scale: Float64) -> Float32:
        """Standard deviation (m, n_genes) of the errors of predictions, with a growth and a factor for every gene."""
        growth = slope / np.maximum(self.unit, 1e-9)
        relative = predicted * growth.astype(np.float32)
        relative += (1 - growth * self.middle).astype(np.float32)
        np.maximum(relative, SMALLEST, out=relative)
        np.sqrt(relative, out=relative)
        relative *= (scale * np.sqrt(self.variance)).astype(np.float32)
        return np.asarray(relative, np.float32)


@dataclass(frozen=True)
class Calibration:
    """Error model of a block of genes."""

    errors: Errors
    reliability: Float64  # (n_genes,) expected PCC at unmeasured sites
    slope: Float64  # (n_genes,) relative growth of the squared error with predictions, in units of their spread
    scale: Float64  # (n_genes,) scale factor of the standard deviations

    @classmethod
    def fit(cls, values: Float32, left_out: Float32, pool: Pool) -> "Calibration":
        """Fit to measured values (n, n_genes) and their cross-validated predictions."""
        spread = values.std(axis=0, dtype=np.float64)
        varies = spread > 0
        # The correlation is the coefficient of the regression times the spread of predictions over that of values.
        factor, doubt = _factors(values, left_out)
        factor = pool.factor + pool.factor_variance / (pool.factor_variance + doubt) * (factor - pool.factor)
        # Predictions from all spots are nearer to the truth than those from four fifths of them.
        factor = (1 + factor) / 2
        explained = np.clip(factor * left_out.std(axis=0, dtype=np.float64) / np.where(varies, spread, 1), 0, 0.99)
        # Patterns of very few spots are mostly chance.
        seen = (values > values.min(axis=0)).sum(axis=0)
        explained *= seen / (seen + SEEN)
        reliability = np.clip(explained * pool.gain, 0, 1)
        errors = Errors.of(values, left_out)
        slope = np.where(varies, errors.drawn(pool), 0)
        scale = np.where(varies, errors.scale(errors.ratio(slope), pool), 1)
        # Unmeasured sites may be nearer to spots than held-out spots are to others.
        unexplained = (1 - np.square(reliability)) / (1 - np.square(explained))
        scale *= np.where(varies, np.clip(np.sqrt(unexplained), *NEARER), 1)
        reliability = np.where(varies, reliability, np.nan)
        return cls(errors, reliability, slope, scale)

    def std(self, predicted: Float32) -> Float32:
        """Standard deviation (m, n_genes) of the errors of predictions: 90 % are within 1.645 of them."""
        return self.errors.std(predicted, self.slope, self.scale)


def explained(values: Float32, left_out: Float32) -> Float64:
    """Part of the variance of each gene (n, n_genes) that its cross-validated predictions explain; NaN if constant."""
    variance = values.var(axis=0, dtype=np.float64)
    missed = np.square(values - left_out).mean(axis=0, dtype=np.float64)
    return np.asarray(1 - np.divide(missed, variance, out=np.full_like(missed, np.nan), where=variance > 0))


def _factors(values: Float32, left_out: Float32) -> tuple[Float64, Float64]:
    """Coefficient of the regression of values on predictions for each gene, and its sampling variance."""
    predicted = (left_out - left_out.mean(axis=0)).astype(np.float64)
    centred = values - values.mean(axis=0)
    power = np.maximum(np.square(predicted).sum(axis=0), 1e-12)
    factor = (predicted * centred).sum(axis=0) / power
    # White's estimator: errors are larger where values are.
    doubt = np.square(predicted * (centred - factor * predicted)).sum(axis=0) / np.square(power)
    return factor, np.maximum(doubt, 1e-12)


def _pooled_factor(values: Float32, left_out: Float32) -> tuple[float, float]:
    """Coefficient for all genes, each in units of its own spread, and the variance between genes beyond sampling."""
    weight = left_out.var(axis=0, dtype=np.float64) / values.var(axis=0, dtype=np.float64)
    if not weight.sum() > 0:
        return 1.0, 0.0
    factor, doubt = _factors(values, left_out)
    pooled = float(np.clip(np.average(factor, weights=weight), 0, 1.5))
    return pooled, max(0.0, float(np.average(np.square(factor - pooled) - doubt, weights=weight)))


def gain(left_out: Float32, distance: Float64, predicted: Float32, site_distance: Float64) -> float:
    """Spread of predictions (m, n_genes) at unmeasured sites over that of `left_out` (n, n_genes), cross-validated.

    Only sites nearer to, or farther from, spots than nearly all cross-validated spots contribute; the ratio is 1 at
    others. Distances, (n,) and (m,), are those to the nearest (other) spot.
    """
    if not len(site_distance):
        return 1.0
    near, far = np.quantile(distance, [0.05, 0.95])
    spread = left_out.std(axis=0, dtype=np.float64)
    total = 0.0
    for sites, low, high in ((site_distance < near - 1e-6, 1, np.inf), (site_distance > far + 1e-6, 0, 1)):
        if sites.sum() >= FEWEST and (spread > 0).any():
            ratio = predicted[sites].std(axis=0, dtype=np.float64)[spread > 0] / spread[spread > 0]
            total += sites.sum() * (np.clip(np.median(ratio), low, high) - 1)
    return float(1 + total / len(site_distance))


def denoise(
    values: Float32, left_out: Float32, unit: Float64, calibration: Calibration, *, logged: bool
) -> tuple[Float32, Float32]:
    """Noisy data consistency: the mean of measured value and prediction, weighted by their inverse variances.

    ``(x + v y) / (1 + v)`` of the measured value y and its cross-validated prediction x, as between the
    stages of the published network. The noise of y is counting noise, a Poisson variable times `unit`, before log1p.
    The error variance of x beyond the mean variance of the noise, for each gene, is its unexplained variance; v is the
    ratio of that to the variance of the noise.

    Mean values depend on the depth of a spot: logarithms of few counts have a lower mean, and bins of few cells another
    composition. Predictions from spots of other depths would blur that, so each gene's residuals are regressed on the
    logarithm of `unit`, with a coefficient shrunken by its sampling variance.

    Values and predictions are (n_spots, n_genes), `unit` (n_spots,) is the value of one molecule; values are counts
    times `unit`, or log1p of these if `logged`. Returns denoised values, and the standard deviation of their errors.
    """
    shift = _depth_effect(calibration.errors.residual, unit)
    expected = np.maximum(left_out + shift, 0).astype(np.float64)
    noise = counting_noise(expected, unit, logged=logged)
    variance = np.square(calibration.errors.residual - shift).mean(axis=0)
    unknown = np.maximum(variance - noise.mean(axis=0), UNEXPLAINED * variance)
    noise = np.maximum(noise, 1e-9)
    level = unknown / noise
    found = (expected + level * values) / (1 + level)
    return found.astype(np.float32), np.sqrt(unknown / (1 + level)).astype(np.float32)


def _depth_effect(residual: Float32, unit: Float64) -> Float64:
    """Part of the residuals (n_spots, n_genes) that is linear in the logarithm of `unit`, (n_spots, n_genes)."""
    depth = np.log(unit) - np.log(unit).mean()
    power = np.square(depth).sum()
    if power < 1e-9:
        return np.zeros(residual.shape)
    factor = depth @ residual / power
    # White's estimator: errors are larger where depth is low.
    doubt = np.square(depth[:, None] * (residual - depth[:, None] * factor)).sum(axis=0) / power**2
    factor *= np.maximum(1 - doubt / np.maximum(np.square(factor), 1e-12), 0)
    return np.asarray(depth[:, None] * factor, np.float64)


def counting_noise(expected: Float64, unit: Float64, *, logged: bool) -> Float64:
    """Variance of the noise of values whose mean is `expected` (n_spots, n_genes); see :func:`denoise`."""
    return _logged_noise(expected, unit) if logged else unit[:, None] * expected


def _logged_noise(expected: Float64, unit: Float64) -> Float64:
    """Variance of log1p(unit * count) for Poisson counts, where it has the mean `expected`, (n_spots, n_genes)."""
    rate = np.geomspace(1e-3, MANY, 64)
    count = np.arange(int(MANY + 10 * np.sqrt(MANY)))
    chance = poisson.pmf(count, rate[:, None])
    result = np.empty_like(expected)
    # Many molecules: to first order.
    molecules = np.expm1(expected) / unit[:, None]
    many = molecules > MANY / 2
    slope = 1 / (1 + np.expm1(expected))
    first_order = np.square(unit[:, None] * slope) * molecules
    for spot, worth in enumerate(unit):
        value = np.log1p(worth * count)
        mean = chance @ value
        variance = chance @ np.square(value) - np.square(mean)
        result[spot] = np.interp(expected[spot], np.append(0, mean), np.append(0, variance))
    return np.where(many, first_order, result)
