"""Correlation functions of the Gaussian processes, and the grid they are chosen from."""

from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from ._types import Float32, Float64

__all__ = ["KERNELS", "NUGGETS", "Kernel", "correlation", "kernels_for"]

Family = Literal["exponential", "matern32"]


class Kernel(NamedTuple):
    """An isotropic correlation function: its family and its length in spot pitches."""

    family: Family
    length: float


# Lengths beyond 8 pitches are chosen by noise: on small real sections they reduced accuracy.
_LENGTHS: Final = (1.0, 2.0, 4.0, 8.0)
# With many spots fewer suffice (-0.2 to +0.02 % of PCC on four real sections), and each takes time.
_SPARSE_LENGTHS: Final = (2.0, 6.0)
_MANY_SPOTS: Final = 800
KERNELS: Final = tuple(
    Kernel(family, length) for family in get_args(Family) for length in sorted({*_LENGTHS, *_SPARSE_LENGTHS})
)
NUGGETS: Final = tuple(2.0**power for power in range(-6, 7))  # noise variance / signal variance


def kernels_for(n_spots: int, *, smooth: bool) -> list[Kernel]:
    """Which of `KERNELS` to compare; smooth ones too, unless values are too noisy to tell them apart."""
    lengths = _LENGTHS if n_spots <= _MANY_SPOTS else _SPARSE_LENGTHS
    families = get_args(Family) if smooth else ("exponential",)
    return [kernel for kernel in KERNELS if kernel.family in families and kernel.length in lengths]


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
