"""Calibration of uncertainty estimates by cross-validation, for all genes at once."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.stats import norm, poisson

from ._predict._arrays import Bool, Float32, Float64, Index

LEVELS: Final = np.append(np.arange(0.05, 0.95, 0.05), [0.95, 0.98, 0.99])  # levels of the intervals
LEVEL: Final = 0.9  # level of the interval that standard deviations are scaled to
FEWEST: Final = 16  # smallest number of spots, or of sites, for error estimates
NORMAL: Final = float(norm.ppf((1 + LEVEL) / 2))
FEW: Final = 200  # number of spots at which gene-wise and pooled quantiles get equal weight
MANY: Final = 30.0  # molecules above which the logarithm of a count is approximated to first order
SMALLEST: Final = 0.1  # lower bound of the predicted variance, relative to its mean over the gene
NEAREST: Final = 0.7  # smallest ratio of errors at near sites to those in cross-validation
GAIN_GENES: Final = 64  # number of genes that the gain is estimated from
UNEXPLAINED: Final = 0.2  # smallest unexplained part of the squared error in denoising
HALVED: Final = 5  # number of spots with expression at which the expected correlation of a gene is halved


@dataclass(frozen=True)
class Pool:
    """Error statistics pooled over genes: a prior for gene-wise estimates."""

    factor: float = 1.0  # coefficient of the regression of measured values on cross-validated predictions
    factor_variance: float = 0.0  # its variance between genes beyond sampling
    gain: float = 1.0  # spread of predictions at the unmeasured sites over that in cross-validation, see `gain`
    near: float = 1.0  # the same at those that are nearer to spots than cross-validated spots are
    growth: float = 0.0  # by how much squared errors grow for each unit of kriging variance
    slope: float = 0.0  # mean slope of relative squared errors on standardised predictions
    between: float = 0.0  # its variance between genes beyond sampling
    ratio: float = NORMAL  # quantile `LEVEL` of errors in units of their standard deviations
    # (n_levels,) half-widths of intervals of `LEVELS` in standard deviations
    widths: Float64 = field(default_factory=lambda: np.asarray(norm.ppf((1 + LEVELS) / 2)))

    @classmethod
    def fit(
        cls, values: Float32, predicted: Float32, gain: float = 1.0, near: float = 1.0, *, folds: Index | None = None
    ) -> "Pool":
        """Fit to measured values (n, n_genes) and their predictions, cross-validated in `folds` (n,)."""
        varies = np.ptp(values, axis=0) > 0
        if not varies.any():
            return cls()
        values, predicted = values[:, varies], predicted[:, varies]
        errors = Errors(values, predicted)
        slope, doubt = errors.slopes()
        centre = float(slope.mean())
        between = max(0.0, float(np.mean(np.square(slope - centre) - doubt)))
        pool = cls(*_pooled_factor(values, predicted, folds), gain, near, slope=centre, between=between)
        ratio = errors.ratio(errors.shrunken_slopes(pool))
        pool = replace(pool, ratio=float(np.quantile(ratio, LEVEL)))
        return replace(pool, widths=np.quantile(ratio / errors.scale(ratio, pool), LEVELS))


class Errors:
    """Cross-validated predictions of measured values, (n, n_genes) each, and their residuals."""

    def __init__(self, values: Float32, predicted: Float32) -> None:
        self.predicted, self.residual = predicted, values - predicted
        self.variance: Float64 = np.square(self.residual).mean(axis=0, dtype=np.float64)
        self.middle: Float64 = predicted.mean(axis=0, dtype=np.float64)
        self.unit: Float64 = predicted.std(axis=0, dtype=np.float64)

    def slopes(self) -> tuple[Float64, Float64]:
        """Return the slope of relative squared errors on standardised predictions, and its sampling variance."""
        position = (self.predicted - self.middle) / np.maximum(self.unit, 1e-9)
        product = position * (np.square(self.residual) / np.maximum(self.variance, 1e-12) - 1)
        return product.mean(axis=0), np.square(product.std(axis=0)) / len(product)

    def shrunken_slopes(self, pool: Pool) -> Float64:
        """Return the slopes, shrunken towards the pooled slope according to their sampling variance."""
        slope, doubt = self.slopes()
        result: Float64 = pool.slope + pool.between / np.maximum(pool.between + doubt, 1e-12) * (slope - pool.slope)
        return result

    def ratio(self, slope: Float64) -> Float64:
        """Return the errors in units of their standard deviations, given the slopes, (n, n_genes)."""
        spread = self.std(self.predicted, slope, np.ones_like(slope))
        return np.asarray(np.abs(self.residual) / np.maximum(spread, 1e-9), np.float64)

    def scale(self, ratio: Float64, pool: Pool) -> Float64:
        """Return scale factors for the standard deviations, shrunken towards the pooled value."""
        quantile = np.quantile(ratio, LEVEL, axis=0)
        part = len(ratio) / (len(ratio) + FEW)
        return np.asarray((pool.ratio + part * (quantile - pool.ratio)) / NORMAL)

    def std(self, predicted: Float32, slope: Float64, scale: Float64) -> Float32:
        """Return the standard deviation of the errors of predictions (m, n_genes), given slopes and scale factors."""
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
    slope: Float64  # (n_genes,) slope of relative squared errors on standardised predictions
    scale: Float64  # (n_genes,) scale factor of the standard deviations
    near: Float64  # (n_genes,) variance of errors at sites nearer to spots, relative to cross-validation

    @classmethod
    def fit(cls, values: Float32, predicted: Float32, pool: Pool, *, folds: Index | None = None) -> "Calibration":
        """Fit to measured values (n, n_genes) and their predictions, cross-validated in `folds` (n,)."""
        spread = values.std(axis=0, dtype=np.float64)
        varies = spread > 0
        # The correlation is the regression coefficient times the ratio of the spreads of predictions and values.
        factor, doubt = _factors(values, predicted, folds)
        factor = pool.factor + pool.factor_variance / (pool.factor_variance + doubt) * (factor - pool.factor)
        # Predictions from all spots are more accurate than those from four fifths of them, but not less shrunken.
        factor = np.maximum((1 + factor) / 2, factor)
        explained = np.clip(factor * predicted.std(axis=0, dtype=np.float64) / np.where(varies, spread, 1), 0, 0.99)
        # Patterns of genes expressed at very few spots are mostly chance.
        expressing = (values > values.min(axis=0)).sum(axis=0)
        explained *= expressing / (expressing + HALVED)
        reliability = np.clip(explained * pool.gain, 0, 1)
        errors = Errors(values, predicted)
        slope = np.where(varies, errors.shrunken_slopes(pool), 0)
        scale = np.where(varies, errors.scale(errors.ratio(slope), pool), 1)
        # More is explained closer to spots.
        unexplained = (1 - np.square(np.clip(explained * pool.near, 0, 1))) / (1 - np.square(explained))
        near = np.where(varies, np.clip(unexplained, NEAREST**2, 1), 1)
        reliability = np.where(varies, reliability, np.nan)
        return cls(errors, reliability, slope, scale, near)

    def std(self, predicted: Float32) -> Float32:
        """Return the standard deviation of errors of predictions (m, n_genes): 90 % are within 1.645 of it.

        It holds as far from spots as in cross-validation.
        """
        return self.errors.std(predicted, self.slope, self.scale)


def explained(values: Float32, predicted: Float32) -> Float64:
    """Return the fraction of the variance of each gene (n, n_genes) that predictions explain; NaN if constant."""
    variance = values.var(axis=0, dtype=np.float64)
    missed = np.square(values - predicted).mean(axis=0, dtype=np.float64)
    return np.asarray(1 - np.divide(missed, variance, out=np.full_like(missed, np.nan), where=variance > 0))


def _factors(values: Float32, predicted: Float32, folds: Index | None) -> tuple[Float64, Float64]:
    """Return the coefficient of the regression of values on predictions for each gene, and its sampling variance.

    Means of `folds` (n,) are removed: the mean of a fold and that of the other spots, from which it is predicted, are
    anticorrelated.
    """
    regressor, centred = _centred(predicted, folds), _centred(values, folds)
    power = np.maximum(np.square(regressor).sum(axis=0), 1e-12)
    factor = (regressor * centred).sum(axis=0) / power
    # White's estimator, since errors are heteroscedastic.
    doubt = np.square(regressor * (centred - factor * regressor)).sum(axis=0) / np.square(power)
    return factor, np.maximum(doubt, 1e-12)


def _centred(values: Float32, folds: Index | None) -> Float64:
    """Return differences from the mean of the fold, (n, n_genes)."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    for number in () if folds is None else np.unique(folds):
        centred[folds == number] -= centred[folds == number].mean(axis=0)
    return np.asarray(centred, np.float64)


def _pooled_factor(values: Float32, predicted: Float32, folds: Index | None) -> tuple[float, float]:
    """Return the coefficient for all genes of unit variance, and its variance between genes beyond sampling."""
    weight = predicted.var(axis=0, dtype=np.float64) / values.var(axis=0, dtype=np.float64)
    if not weight.sum() > 0:
        return 1.0, 0.0
    factor, doubt = _factors(values, predicted, folds)
    pooled = float(np.clip(np.average(factor, weights=weight), 0, 1.5))
    return pooled, max(0.0, float(np.average(np.square(factor - pooled) - doubt, weights=weight)))


def gain(validated: Float32, distance: Float64, predicted: Float32, site_distance: Float64) -> tuple[float, float]:
    """Return the spread of predictions (m, n_genes) at unmeasured sites over that in cross-validation (n, n_genes).

    It is taken where the distance (m,) from the nearest spot is outside the 5 to 95 % of those of the spots, (n,), and
    averaged over all sites. Returns it for nearer sites only, too.
    """
    spread = validated.std(axis=0, dtype=np.float64)
    total, ratios = 0.0, [1.0, 1.0]
    bounds = (1, np.inf), (0, 1)
    for i, (sites, (low, high)) in enumerate(zip(nearer_and_farther(distance, site_distance), bounds, strict=True)):
        if sites.sum() >= FEWEST and (spread > 0).any():
            ratio = predicted[sites].std(axis=0, dtype=np.float64)[spread > 0] / spread[spread > 0]
            ratios[i] = float(np.clip(np.median(ratio), low, high))
            total += sites.mean() * (ratios[i] - 1)
    return float(1 + total), ratios[0]


def nearer_and_farther(distance: Float64, site_distance: Float64) -> tuple[Bool, Bool]:
    """Return which sites (m,) are nearer to spots, and which farther, than 5 to 95 % of cross-validated spots (n,)."""
    near, far = np.quantile(distance, [0.05, 0.95])
    return site_distance < near - 1e-6, site_distance > far + 1e-6


def denoise(
    values: Float32, predicted: Float32, unit: Float64, calibration: Calibration, *, logged: bool
) -> tuple[Float32, Float32]:
    """Return the inverse-variance weighted mean of values and predictions, and the standard deviation of its errors.

    It is ``(x + v y) / (1 + v)`` for the value y and its cross-validated prediction x, where v is the ratio of the
    error variance of x (the residual variance of the gene minus its mean noise variance) to that of the counting noise
    of y. Values and predictions are (n_spots, n_genes); values are counts times `unit`, (n_spots,), or log1p of these
    if `logged`.

    Mean values depend on the depth of a spot: logarithms of few counts have a lower mean, and bins of few cells another
    composition. Predictions from spots of other depths would blur that, so each gene's residuals are regressed on the
    logarithm of `unit`, with a coefficient shrunken by its sampling variance.
    """
    shift = _depth_effect(calibration.errors.residual, unit)
    expected = np.maximum(predicted + shift, 0).astype(np.float64)
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
    """Return the variance of values with the mean `expected` (n_spots, n_genes) due to Poisson noise of the counts."""
    if not logged:
        return unit[:, None] * expected
    count = np.arange(int(MANY + 10 * np.sqrt(MANY)))
    chance = poisson.pmf(count, np.geomspace(1e-3, MANY, 64)[:, None])
    result = np.empty_like(expected)
    for spot, worth in enumerate(unit):
        value = np.log1p(worth * count)
        mean = chance @ value
        variance = chance @ np.square(value) - np.square(mean)
        result[spot] = np.interp(expected[spot], np.append(0, mean), np.append(0, variance))
    molecules = np.expm1(expected) / unit[:, None]
    slope = 1 / (1 + np.expm1(expected))
    return np.where(molecules > MANY / 2, np.square(unit[:, None] * slope) * molecules, result)
