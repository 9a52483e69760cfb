"""Rectified normal distribution: max(0, N(μ, σ)), which has zeros as counts do, and no negative values."""

import numpy as np
from scipy.stats import norm

from ._arrays import Float32, Float64

__all__ = ["rectified_parameters"]

_Z = np.linspace(-1.5, 8, 381)  # μ / σ; with less a few values are huge


def _moments(z: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation for σ = 1."""
    density, below = norm.pdf(z), norm.cdf(z)
    mean = density + z * below
    return mean, np.sqrt((np.square(z) + 1) * below + z * density - np.square(mean))


_MEAN, _STD = _moments(_Z)
_RATIO = _MEAN / _STD


def rectified_parameters(mean: Float32, std: Float32) -> tuple[Float32, Float32]:
    """μ and σ of a rectified normal distribution with these means and standard deviations, of any shape.

    Where the mean is less than about .2 standard deviations, the standard deviation gives way, never the mean.
    """
    ratio = np.divide(mean, std, out=np.full_like(mean, np.inf), where=std > 0)
    z = np.interp(ratio, _RATIO, _Z)
    sigma = np.where(ratio < _RATIO[0], mean / _MEAN[0], std / np.interp(z, _Z, _STD))
    sigma = np.where(ratio > _RATIO[-1], std, sigma)
    mu = np.where(ratio > _RATIO[-1], mean, z * sigma)
    return np.asarray(mu, np.float32), np.asarray(sigma, np.float32)
