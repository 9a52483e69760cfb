"""Array types, and checks of the arrays that predictors take."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bool", "Covariates", "Float", "Float32", "Float64", "Index", "check_points", "check_values"]

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Float: TypeAlias = NDArray[np.floating]
Index: TypeAlias = NDArray[np.intp]
Bool: TypeAlias = NDArray[np.bool_]
Covariates: TypeAlias = tuple[Float64, Float64]
"""Of the spots (n, k) and of the sites (m, k), standardised over the section."""


def check_points(spots: Float, sites: Float) -> tuple[Float64, Float64]:
    """Positions as float64, (n, 2) with n >= 1 distinct spots and (m, 2)."""
    spots, sites = (np.ascontiguousarray(points, np.float64) for points in (spots, sites))
    for name, points in (("spots", spots), ("sites", sites)):
        if points.ndim != 2 or points.shape[1] != 2:
            msg = f"{name}: expected an array of shape (count, 2), found {points.shape}."
            raise ValueError(msg)
        if not np.isfinite(points).all():
            msg = f"{name}: expected finite coordinates, found NaN or infinity."
            raise ValueError(msg)
    if not len(spots):
        msg = "spots: expected at least one measured spot, found none."
        raise ValueError(msg)
    duplicates = len(spots) - len(np.unique(spots, axis=0))
    if duplicates:
        msg = f"spots: expected distinct positions, found {duplicates} repeated; merge or drop them."
        raise ValueError(msg)
    return spots, sites


def check_values(values: Float, spots: Float64) -> Float32:
    """Finite values as float32, (n, n_genes)."""
    values = np.ascontiguousarray(values, np.float32)
    if values.ndim != 2 or len(values) != len(spots):
        msg = f"values: expected shape ({len(spots)}, n_genes), one row per spot, found {values.shape}."
        raise ValueError(msg)
    if not np.isfinite(values).all():
        msg = "values: expected finite numbers, found NaN or infinity."
        raise ValueError(msg)
    return values
