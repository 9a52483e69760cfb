"""Counts behind values: what one molecule is worth, and the noise of counting."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import ndtr
from scipy.stats import poisson

from .._calibration import counting_noise
from ._arrays import Float32, Float64

__all__ = ["Counting"]

_MANY: Final = 12.0  # molecules beyond which Poisson quantiles are those of a skewed normal distribution
_RATES: Final = np.append(0, np.geomspace(1e-3, 1.2 * _MANY, 64))
_COUNTS: Final = np.arange(48)


@dataclass(frozen=True)
class Counting:
    """Values that are Poisson counts times the `unit` of the site, or log1p of these if `logged`."""

    unit: Float64  # (m,) value of one molecule
    logged: bool

    def variance(self, expected: Float32) -> Float32:
        """Variance of values with the mean `expected`, (m, n_genes)."""
        return np.asarray(counting_noise(np.maximum(expected, 0), self.unit, logged=self.logged), np.float32)

    def draw(self, expected: Float32, normal: Float32) -> Float32:
        """Values with the mean `expected` (m, n_genes), from standard normal numbers of the same shape."""
        counts = _poisson(self._rate(np.maximum(expected, 0)), normal)
        counts *= self.unit[:, None].astype(np.float32)
        return np.log1p(counts, out=counts) if self.logged else counts

    def _rate(self, expected: Float32) -> Float32:
        """Mean numbers of molecules with which values have the mean `expected`."""
        unit = self.unit[:, None].astype(np.float32)
        if not self.logged:
            return np.asarray(expected / unit, np.float32)
        # The mean of the logarithm is below the logarithm of the mean: to second order if molecules are many.
        rate = np.expm1(expected) / unit
        scaled = unit * rate
        rate += scaled / (2 * (1 + scaled))
        for own, mean, means in zip(rate, expected, self._means, strict=True):
            few = mean < means[-1]
            own[few] = np.interp(mean[few], means, _RATES)
        return np.asarray(rate, np.float32)

    @cached_property
    def _means(self) -> Float64:
        """Mean values at `_RATES`, (m, n_rates)."""
        chance = np.asarray(poisson.pmf(_COUNTS[:, None], _RATES))
        return np.asarray(np.log1p(self.unit[:, None] * _COUNTS) @ chance)


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
