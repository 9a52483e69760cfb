"""Deterministic interpolation: nearest, linear, cubic, inverse distance, radial basis functions."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from scipy.interpolate import CloughTocher2DInterpolator, LinearNDInterpolator, RBFInterpolator
from scipy.sparse import csr_array
from scipy.spatial import Delaunay, cKDTree

from ._arrays import Float, Float32, Float64, Index, as_float32, as_float64

_TIE = 1e-9  # relative tolerance within which distances are equal
_ANGLE = np.pi / 4
_SHEAR = 1e-3 * np.array([[np.cos(_ANGLE), np.sin(_ANGLE)], [np.sin(_ANGLE), -np.cos(_ANGLE)]])
_STRAINS = (np.eye(2) + _SHEAR, np.eye(2) - _SHEAR)
# Delaunay triangulations of a square lattice are not unique. Averaging over two small opposite shears, which select one
# diagonal each, makes the result independent of the orientation of the section.
_RBF_ALL = 3000  # number of spots above which only the nearest _RBF_NEIGHBOURS are used
_RBF_NEIGHBOURS = 64

Interpolation = Callable[[Float64, Float32, Float64], Float32]
"""Function of spots (n, 2), values (n, n_genes) and sites (m, 2) that returns (m, n_genes)."""


class Classical:
    """Predictor without hyper-parameters."""

    def __init__(self, method: str, spots: Float, sites: Float) -> None:
        self._spots, self._sites = as_float64(spots), as_float64(sites)
        line = _line(self._spots) if method in PLANAR else None
        self._function: Interpolation = CLASSICAL[method] if line is None else partial(_on_a_line, direction=line)

    def tune(self, values: Float) -> None:
        """Return None: there are no hyper-parameters."""

    def maps(self, values: Float, settings: None = None) -> list[Float32]:  # noqa: ARG002
        """Predict genes (n, n_genes) at the sites, (m, n_genes)."""
        return [self._function(self._spots, as_float32(values), self._sites)]


def nearest(spots: Float64, values: Float32, sites: Float64) -> Float32:
    """Return the value of the nearest spot; ties go to the spot with the smallest coordinates."""
    order = np.lexsort(spots.T)
    distance, neighbour = _neighbours(spots[order], sites, 12)
    tied = distance <= distance[:, :1] * (1 + _TIE)
    first: Index = np.where(tied, neighbour, len(spots)).min(axis=1)
    return values[order[first]]


def idw(spots: Float64, values: Float32, sites: Float64) -> Float32:
    """Return the mean of the 8 nearest spots (and ties), weighted by inverse distance :cite:p:`shepard1968`."""
    distance, neighbour = _neighbours(spots, sites, 24)
    eighth = distance[:, min(8, distance.shape[1]) - 1 :][:, :1]
    weight = np.where(distance <= eighth * (1 + _TIE), 1 / np.maximum(distance, 1e-12), 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    rows = np.arange(len(weight) + 1) * weight.shape[1]
    matrix = csr_array((weight.ravel(), neighbour.ravel(), rows), shape=(len(weight), len(values)))
    return np.asarray(matrix @ values.astype(np.float64), np.float32)


def on_triangles(
    interpolator: Callable[..., Callable[[Float64], Float64]], spots: Float64, values: Float32, sites: Float64
) -> Float32:
    """Interpolate on triangles, linearly or by smooth cubics :cite:p:`alfeld1984`; outside the hull return the nearest.

    Sites are moved towards the centre by a billionth, so that rounding takes none out of the hull.
    """
    order, centre = np.lexsort(spots.T), spots.mean(axis=0)
    inner = sites + _TIE * (centre - sites)
    result = np.zeros((len(sites), values.shape[1]), np.float32)
    for strain in _STRAINS:
        triangles = Delaunay(spots[order] @ strain)
        result += interpolator(triangles, values[order])(inner @ strain).astype(np.float32) / 2
    outside = np.isnan(result).any(axis=1)
    result[outside] = nearest(spots, values, sites[outside])
    return result


def rbf(spots: Float64, values: Float32, sites: Float64) -> Float32:
    """Interpolate by a thin-plate spline :cite:p:`duchon1977`."""
    neighbours = None if len(spots) <= _RBF_ALL else _RBF_NEIGHBOURS
    spline = RBFInterpolator(spots, values, neighbors=neighbours, kernel="thin_plate_spline")
    return np.asarray(spline(sites), np.float32)


PLANAR: Final[dict[str, Interpolation]] = {  # not for spots on a line
    "linear": partial(on_triangles, LinearNDInterpolator),
    "cubic": partial(on_triangles, CloughTocher2DInterpolator),
    "rbf": rbf,
}
CLASSICAL: Final[dict[str, Interpolation]] = {"nearest": nearest, "idw": idw, **PLANAR}


def _neighbours(spots: Float64, sites: Float64, count: int) -> tuple[Float64, Index]:
    """Return distances and indices of the nearest spots, (m, at most count) each, nearest first."""
    wanted = range(1, min(len(spots), count) + 1)
    distance, neighbour = cKDTree(spots).query(sites, k=wanted)
    return np.asarray(distance), np.asarray(neighbour)


def _line(spots: Float64) -> Float64 | None:
    """Return the direction of the line that all spots lie on, or None."""
    centred = spots - spots.mean(axis=0)
    _, extent, directions = np.linalg.svd(centred, full_matrices=False)
    if len(extent) > 1 and extent[1] > 1e-6 * max(extent[0], 1e-300):
        return None
    return np.asarray(directions[0])


def _on_a_line(spots: Float64, values: Float32, sites: Float64, direction: Float64) -> Float32:
    """Interpolate linearly along a line; values are constant across it and beyond its ends."""
    position, wanted = spots @ direction, sites @ direction
    order = np.argsort(position)
    return np.column_stack([np.interp(wanted, position[order], gene[order]) for gene in values.T]).astype(np.float32)
