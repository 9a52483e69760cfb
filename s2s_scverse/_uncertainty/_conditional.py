"""Conditional simulation of kriged components, by residual kriging :cite:p:`journel1978`."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from .._predict import Kernel, PCAKriging, Settings
from .._predict._arrays import Bool, Float32, Float64

N_FREQUENCIES: Final = 512
_DEGREES: Final = {"exponential": 1, "matern32": 3}  # of freedom of the Student distribution of frequencies
_GOLDEN: Final = (np.sqrt(5) - 1) / 2


def simulate_errors(components: PCAKriging, rngs: Sequence[np.random.Generator]) -> Float32:
    """Draw errors of the kriged components at the sites, one for each generator: (n_draws, m, n_components).

    A component is simulated at spots and sites alike with its kernel, signal variance and nugget, and kriged from the
    simulated spots: simulated minus kriged is a draw of the error, whatever was measured.
    """
    kriging, settings = components.kriging, components.kriged.settings
    n, m, count = len(kriging.spots), len(kriging.sites), len(settings.kernel)
    amplitudes = np.empty((2 * N_FREQUENCIES, len(rngs), count), np.float32)
    spots = np.empty((n, len(rngs), count), np.float32)
    noise_ratio = np.asarray(kriging.noise_ratios)[settings.noise_ratio]
    noise = np.sqrt(noise_ratio / kriging.noise_weights[:, None]).astype(np.float32)
    for draw, rng in enumerate(rngs):
        amplitudes[:, draw] = rng.standard_normal((2 * N_FREQUENCIES, count), dtype=np.float32)
        spots[:, draw] = noise * rng.standard_normal((n, count), dtype=np.float32)
    sites = np.empty((m, len(rngs), count), np.float32)
    for k in np.unique(settings.kernel):
        own = np.flatnonzero(settings.kernel == k)
        of = amplitudes[:, :, own].reshape(2 * N_FREQUENCIES, -1)
        spots[:, :, own] += (features(kriging.kernels[k], kriging.spots) @ of).reshape(n, len(rngs), -1)
        sites[:, :, own] = (features(kriging.kernels[k], kriging.sites) @ of).reshape(m, len(rngs), -1)
    repeated = Settings(np.tile(settings.kernel, len(rngs)), np.tile(settings.noise_ratio, len(rngs)))
    sites -= kriging.predict(spots.reshape(n, -1), repeated).sites.reshape(sites.shape)
    sites *= np.sqrt(components.kriged.variance).astype(np.float32)
    return np.moveaxis(sites, 1, 0)


def error_variance(components: PCAKriging, sites: Bool | None = None) -> Float32:
    """Variance of the error of every component at the sites, (m, n_components); 0 outside `sites`, (m,)."""
    relative = components.kriging.relative_variance(components.kriged.settings, sites)
    return np.asarray(relative * components.kriged.variance, np.float32)


def features(kernel: Kernel, places: Float64) -> Float32:
    """Random Fourier features :cite:p:`rahimi2007` of places (n, 2), in spot spacings: (n, 2 * N_FREQUENCIES).

    Times independent standard normal amplitudes they are a random field with the covariance of the kernel and unit
    variance, at these and any other places alike. The spectral density of a Matérn kernel of smoothness ν in the plane
    is that of a bivariate Student distribution with 2ν degrees of freedom; its frequencies are stratified by radius,
    with angles a golden section apart, so the covariance is nearer to the kernel's than with random ones.
    """
    degrees = _DEGREES[kernel.family]
    beyond = (np.arange(N_FREQUENCIES) + 0.5) / N_FREQUENCIES
    radius = np.sqrt(degrees * (beyond ** (-2 / degrees) - 1)) / kernel.length_scale
    angle = np.pi * _GOLDEN * np.arange(N_FREQUENCIES)
    phase = places @ (radius * np.stack([np.cos(angle), np.sin(angle)]))
    found = np.hstack([np.cos(phase), np.sin(phase)]) / np.sqrt(N_FREQUENCIES)
    return np.asarray(found, np.float32)
