"""Gaussian random fields at any positions, by random Fourier features :cite:p:`rahimi2007`."""

from typing import Final

import numpy as np

from .._predict import Kernel
from ._arrays import Float32, Float64

__all__ = ["N_FREQUENCIES", "features"]

N_FREQUENCIES: Final = 512
_DEGREES: Final = {"exponential": 1, "matern32": 3}  # of freedom of the Student distribution of frequencies
_GOLDEN: Final = (np.sqrt(5) - 1) / 2


def features(kernel: Kernel, places: Float64) -> Float32:
    """Features of places (n, 2), in spot spacings: (n, 2 * N_FREQUENCIES).

    Times independent standard normal amplitudes they are a random field with the covariance of the kernel and unit
    variance, at these and any other places alike. The spectral density of a Matérn kernel of smoothness ν in the plane
    is that of a bivariate Student distribution with 2ν degrees of freedom; its frequencies are stratified by radius,
    with angles a golden section apart, so the covariance is nearer to the kernel's than with random ones.
    """
    degrees = _DEGREES[kernel.family]
    beyond = (np.arange(N_FREQUENCIES) + 0.5) / N_FREQUENCIES
    radius = np.sqrt(degrees * (beyond ** (-2 / degrees) - 1)) / kernel.length
    angle = np.pi * _GOLDEN * np.arange(N_FREQUENCIES)
    phase = places @ (radius * np.stack([np.cos(angle), np.sin(angle)]))
    found = np.hstack([np.cos(phase), np.sin(phase)]) / np.sqrt(N_FREQUENCIES)
    return np.asarray(found, np.float32)
