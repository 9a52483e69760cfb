"""How far predictions are to be trusted, from what was predicted of measured spots that had been left out.

Everything is done for all genes at once: arrays (n_spots, n_genes) of values and of what was predicted of them, and
what is predicted of unmeasured sites.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, poisson

__all__ = ["FEWEST", "LEVELS", "Calibration", "calibrate", "denoise"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

LEVELS: Final = np.append(np.arange(0.05, 0.95, 0.05), [0.95, 0.98, 0.99])
"""Of intervals."""
LEVEL: Final = 0.9
"""Of the intervals that standard deviations are scaled to."""
FEWEST: Final = 16
"""Spots, or sites, with fewer of which nothing is said."""
NORMAL: Final = float(norm.ppf((1 + LEVEL) / 2))
FEW: Final = 200
"""Spots at which what a gene says of its own intervals counts as much as what all genes say."""
MANY: Final = 30.0
"""Molecules beyond which the logarithm of a count is nearly linear in it."""
SMALLEST: Final = 0.1
"""Variance where it is predicted smallest, over the gene's mean."""
NEARER: Final = (0.7, 1.1)
"""Errors at unmeasured sites over those at spots left out: bounds."""


@dataclass(frozen=True)
class Calibration:
    """What is known of the errors of some genes.

    Attributes
    ----------
    spread
        (n_genes,) standard deviation of the measured values.
    factor
        What predictions of spots left out are to be multiplied by, about their mean, to fit best.
    reliability
        (n_genes,) expected PCC at unmeasured sites.
    variance, slope
        (n_genes,) variance of the error where the prediction is `middle`, and its relative growth in units of `unit`.
    middle, unit
        (n_genes,) mean and standard deviation of predictions of spots left out.
    scale
        (n_genes,) what standard deviations are multiplied by.
    widths
        (n_levels,) half-widths of intervals of `LEVELS` in standard deviations.
    """

    spread: Float64
    factor: float
    reliability: Float64
    variance: Float64
    slope: Float64
    middle: Float64
    unit: Float64
    scale: Float64
    widths: Float64

    @classmethod
    def fit(cls, values: Float32, left_out: Float32, predicted_spread: Float64) -> "Calibration":
        """Fit to measured values (n, n_genes) and what was predicted of them with each spot left out.

        Parameters
        ----------
        values, left_out
            (n, n_genes).
        predicted_spread
            (n_genes,) standard deviation of predictions over the unmeasured sites.
        """
        spread = values.std(axis=0, dtype=np.float64)
        varies = spread > 0
        safe = np.where(varies, spread, 1)
        factor, correlation = _agreement(values, left_out, safe)
        # Predictions that are right on average are correlated with the truth as much as they vary beside it.
        reliability = np.where(varies, np.clip(factor * predicted_spread / safe, 0, 1), np.nan)
        residual = values - left_out
        square = np.square(residual)
        variance = square.mean(axis=0, dtype=np.float64)
        middle, unit = left_out.mean(axis=0, dtype=np.float64), left_out.std(axis=0, dtype=np.float64)
        slope = np.zeros_like(unit)
        # Constant genes have nothing to say of the others.
        slope[varies] = _slopes(
            ((left_out - middle) / np.maximum(unit, 1e-9))[:, varies], (square / np.maximum(variance, 1e-12))[:, varies]
        )
        known = cls(
            spread, factor, reliability, variance, slope, middle, unit, np.ones_like(unit), np.ones(len(LEVELS))
        )
        if not varies.any():
            return known
        ratio = np.abs(residual[:, varies]) / np.maximum(known.std(left_out)[:, varies], 1e-9)
        together, each = np.quantile(ratio, LEVEL), np.quantile(ratio, LEVEL, axis=0)
        part = len(values) / (len(values) + FEW)
        scale = np.ones_like(unit)
        scale[varies] = (together + part * (each - together)) / NORMAL
        # Unmeasured sites are nearer to spots than spots left out are to others.
        unexplained = (1 - np.square(np.nan_to_num(reliability))) / (1 - np.square(np.clip(correlation, 0, 0.99)))
        widths = np.quantile(ratio / scale[varies], LEVELS)
        scale *= np.clip(np.sqrt(unexplained), *NEARER)
        return replace(known, scale=scale, widths=widths)

    def std(self, predicted: Float32) -> Float32:
        """Standard deviation (m, n_genes) of the errors of predictions: 90 % are within 1.645 of them."""
        growth = self.slope / np.maximum(self.unit, 1e-9)
        relative = predicted * growth.astype(np.float32)
        relative += (1 - growth * self.middle).astype(np.float32)
        np.maximum(relative, SMALLEST, out=relative)
        np.sqrt(relative, out=relative)
        relative *= (self.scale * np.sqrt(self.variance)).astype(np.float32)
        return np.asarray(relative, np.float32)


def _agreement(values: Float32, left_out: Float32, spread: Float64) -> tuple[float, Float64]:
    """Factor of predictions for all genes, and correlation of each.

    The least-squares factor is that of predictions from four fifths of the spots, which is too small; those from all
    spots are taken to be half as wrong.
    """
    truth = (values - values.mean(axis=0)) / spread
    predicted = (left_out - left_out.mean(axis=0)) / spread
    cross, power = (truth * predicted).sum(axis=0, dtype=np.float64), np.square(predicted).sum(axis=0, dtype=np.float64)
    total = np.square(truth).sum(axis=0, dtype=np.float64)
    factor = float(np.clip(cross.sum() / power.sum(), 0, 1.5)) if power.sum() > 0 else 1.0
    return (1 + factor) / 2, np.asarray(cross / np.sqrt(np.maximum(power * total, 1e-12)))


def _slopes(position: Float64, square: Float64) -> Float64:
    """How squared errors grow with predictions (both relative), for each gene; unsure ones drawn to those of all."""
    product = position * (square - 1)
    if not product.size:
        return np.zeros(product.shape[1])
    slope, error = product.mean(axis=0), np.square(product.std(axis=0)) / len(product)
    centre = slope.mean()
    between = max(0.0, float(np.mean(np.square(slope - centre) - error)))
    return np.asarray(centre + between / np.maximum(between + error, 1e-12) * (slope - centre))


def calibrate(values: Float32, left_out: Float32, predicted: Float32) -> Calibration:
    """Calibrate predictions (m, n_genes) of unmeasured sites by those of at least `FEWEST` spots left out."""
    # How much predictions vary over a handful of sites says nothing.
    typical = predicted if len(predicted) >= FEWEST else left_out
    return Calibration.fit(values, left_out, typical.std(axis=0, dtype=np.float64))


def denoise(
    values: Float32, left_out: Float32, unit: Float64, calibration: Calibration, *, logged: bool
) -> tuple[Float32, Float32]:
    """Noisy data consistency: the mean of what was measured and what is expected, weighted by their precision.

    ``(x + v y) / (1 + v)`` of the measured value y and the value x predicted of the spot left out, as between the
    stages of the published network. The noise of y is that of counting, a Poisson variable times `unit`, before log1p.
    What the errors of x have of variance beyond that of counting, in the mean over the spots and for each gene, is the
    variance of what x does not know; v is that over the variance of the noise.

    Parameters
    ----------
    values, left_out
        (n_spots, n_genes).
    unit
        (n_spots,): what one molecule is worth.
    calibration
        Of the errors of `left_out`.
    logged
        Whether values are log1p of counts times `unit`.

    Returns
    -------
    Denoised values, and the standard deviation of what is left of their errors; (n_spots, n_genes).
    """
    expected = np.maximum(left_out, 0).astype(np.float64)
    noise = _logged_noise(expected, unit) if logged else unit[:, None] * expected
    unknown = np.maximum(calibration.variance - noise.mean(axis=0), 0)
    noise = np.maximum(noise, 1e-9)
    level = unknown / noise
    found = (expected + level * values) / (1 + level)
    return found.astype(np.float32), np.sqrt(unknown / (1 + level)).astype(np.float32)


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
