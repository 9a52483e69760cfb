"""Distributions of single values: counts behind values, and values without negative ones."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm, poisson

from .._calibration import counting_noise
from .._predict._arrays import Bool, Float32, Float64

_MANY: Final = 12.0  # molecules beyond which Poisson quantiles are those of a skewed normal distribution
_RATES: Final = np.append(0, np.geomspace(1e-3, 1.2 * _MANY, 64))
_COUNTS: Final = np.arange(48)
_THIRDS: Final = (1 / 6, 1 / 2, 5 / 6)  # quantiles that stand for the distribution of depth
_CHANCE: Final = np.asarray(poisson.pmf(_COUNTS[:, None], _RATES))  # of each count at each rate


@dataclass(frozen=True)
class Counting:
    """Values that are Poisson counts times the `unit` of the site, or log1p of these if `logged`.

    Where it is not `known`, the logarithm of the unit differs from that given by one of the `deviations`, (k,).
    """

    unit: Float64  # (m,) value of one molecule
    logged: bool
    deviations: Float64
    known: Bool  # (m,)

    def variance(self, expected: Float32) -> Float32:
        """Variance of values with the mean `expected`, (m, n_genes)."""
        found = np.zeros(expected.shape)
        for deviation in np.quantile(self.deviations, _THIRDS, method="hazen"):
            unit = self.unit * np.exp(np.where(self.known, 0, deviation))
            found += counting_noise(np.maximum(expected, 0), unit, logged=self.logged) / len(_THIRDS)
        return np.asarray(found, np.float32)

    def draw(self, expected: Float32, normal: Float32, depth: Float32) -> Float32:
        """Values with the mean `expected` (m, n_genes), from standard normal numbers of the same shape.

        Uniform numbers `depth`, (m,), select the deviation of the unit of each site.
        """
        deviation = self.deviations[(depth * len(self.deviations)).astype(np.intp)]
        unit = self.unit * np.exp(np.where(self.known, 0, deviation))
        counts = _poisson(self._rate(np.maximum(expected, 0), unit), normal)
        counts *= unit[:, None].astype(np.float32)
        return np.log1p(counts, out=counts) if self.logged else counts

    def _rate(self, expected: Float32, units: Float64) -> Float32:
        """Mean numbers of molecules with which values have the mean `expected`."""
        unit = units[:, None].astype(np.float32)
        if not self.logged:
            return np.asarray(expected / unit, np.float32)
        # The mean of the logarithm is below the logarithm of the mean: to second order if molecules are many.
        rate = np.expm1(expected) / unit
        scaled = unit * rate
        rate += scaled / (2 * (1 + scaled))
        for own, mean, means in zip(rate, expected, np.log1p(units[:, None] * _COUNTS) @ _CHANCE, strict=True):
            few = mean < means[-1]
            own[few] = np.interp(mean[few], means, _RATES)
        return np.asarray(rate, np.float32)


def _poisson(rate: Float32, normal: Float32) -> Float32:
    """Poisson counts with these rates, as quantiles of standard normal numbers: no stream that rounding could shift."""
    # Cornish and Fisher's expansion.
    found = np.floor(rate + normal * np.sqrt(rate) + (np.square(normal) - 1) / 6 + np.float32(0.5))
    few = rate < _MANY
    small = rate[few]
    below, chance = ndtr(normal[few]), np.exp(-small)
    reached, counts = chance.copy(), np.zeros_like(small)
    for count in range(1, len(_COUNTS)):
        more = below > reached
        if not more.any():
            break
        counts += more
        chance *= small / count
        reached += chance
    found[few] = counts
    return np.maximum(found, 0, out=found)


_Z = np.linspace(-1.5, 8, 381)  # μ / σ; with less a few values are huge


def _moments(z: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation for σ = 1."""
    density, below = norm.pdf(z), norm.cdf(z)
    mean = density + z * below
    return mean, np.sqrt((np.square(z) + 1) * below + z * density - np.square(mean))


_MEAN, _STD = _moments(_Z)
_RATIO = _MEAN / _STD


def rectified_parameters(mean: Float32, std: Float32) -> tuple[Float32, Float32]:
    """μ and σ of max(0, N(μ, σ)) with these means and standard deviations, of any shape.

    Where the mean is less than about .2 standard deviations, the standard deviation gives way, never the mean.
    """
    ratio = np.divide(mean, std, out=np.full_like(mean, np.inf), where=std > 0)
    z = np.interp(ratio, _RATIO, _Z)
    sigma = np.where(ratio < _RATIO[0], mean / _MEAN[0], std / np.interp(z, _Z, _STD))
    sigma = np.where(ratio > _RATIO[-1], std, sigma)
    mu = np.where(ratio > _RATIO[-1], mean, z * sigma)
    return np.asarray(mu, np.float32), np.asarray(sigma, np.float32)
