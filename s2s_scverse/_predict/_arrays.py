"""Array types of the predictors."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Float: TypeAlias = NDArray[np.floating]
Index: TypeAlias = NDArray[np.intp]
Int: TypeAlias = NDArray[np.int64]
Bool: TypeAlias = NDArray[np.bool_]
Covariates: TypeAlias = tuple[Float64, Float64]
"""Covariates of the spots (n, k) and of the sites (m, k), standardised over the section."""


def as_float32(values: Float) -> Float32:
    """Return contiguous single precision values."""
    return np.ascontiguousarray(values, np.float32)


def as_float64(points: Float) -> Float64:
    """Return contiguous double precision positions."""
    return np.ascontiguousarray(points, np.float64)
