"""Correlation functions of the Gaussian processes, and the grid they are chosen from."""

from typing import Final, Literal, NamedTuple

import numpy as np

from ._types import Float32, Float64

__all__ = ["EXPONENTIAL", "MATERN", "NUGGETS", "Kernel", "correlation"]


class Kernel(NamedTuple):
    """An isotropic correlation function: its family and its length in spot pitches."""

    family: Literal["exponential", "matern32"]
    length: float


# Beyond 8 pitches a length is chosen by noise: on small real sections the longer ones only lost accuracy.
EXPONENTIAL: Final = tuple(Kernel("exponential", length) for length in (1.0, 2.0, 4.0, 8.0))
MATERN: Final = tuple(Kernel("matern32", length) for length in (1.0, 2.0, 4.0, 8.0))
NUGGETS: Final = tuple(2.0**power for power in range(-6, 7))  # noise variance / signal variance


def correlation(kernel: Kernel, distances: Float32 | Float64) -> Float32:
    """Correlation at each distance :cite:p:`rasmussen2006`.

    Parameters
    ----------
    kernel
        Family and length.
    distances
        Any shape, in spot pitches.

    Returns
    -------
    The shape of `distances`, 1 at distance 0.
    """
    if kernel.family == "exponential":
        scaled = np.asarray(distances * (-1.0 / kernel.length), np.float32)
        return np.exp(scaled, out=scaled)
    scaled = np.asarray(distances * (np.sqrt(3.0) / kernel.length), np.float32)
    return (1 + scaled) * np.exp(-scaled)
