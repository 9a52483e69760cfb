"""Which unmeasured sites belong to the section."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, Delaunay, QhullError, cKDTree

from ._lattice import Lattice

__all__ = ["Fill", "fill_sites"]

Fill = Literal["tissue", "hull", "all"]

CLOSING_RADIUS = 1.6
"""In spot pitches: gaps up to two spots wide are closed, ventricles and tears that are wider stay open."""
_SLACK = 1e-6


def fill_sites(lattice: Lattice, *, factor: int, fill: Fill) -> NDArray[np.int64]:
    """Find the unmeasured sites.

    Parameters
    ----------
    lattice
        The spots, as positions of the dense lattice.
    factor
        Spacing of the spots in dense sites.
    fill
        ``"tissue"``: the morphological closing of the spots; ``"hull"``: their convex hull; ``"all"``: the whole
        bounding box of the lattice.

    Returns
    -------
    (n, 2) indices of the sites that are no spots, in row-major order.
    """
    margin = int(np.ceil(2 * CLOSING_RADIUS * factor)) if fill == "tissue" else 0
    boxes = [
        np.arange(low - margin, low + size + margin) for low, size in zip(lattice.lower, lattice.shape, strict=True)
    ]
    candidates = lattice.with_index(np.stack(np.meshgrid(*boxes, indexing="ij"), axis=-1).reshape(-1, 2))
    if fill == "tissue":
        inside = _closing(lattice.unit_coordinates, candidates.unit_coordinates, CLOSING_RADIUS * factor)
    elif fill == "hull":
        inside = _in_hull(lattice.unit_coordinates, candidates.unit_coordinates)
    else:
        inside = np.ones(len(candidates), dtype=bool)
    box = tuple(len(axis) for axis in boxes)
    spots = np.ravel_multi_index(tuple((lattice.index - lattice.lower + margin).T), box)
    inside[spots] = False
    return candidates.index[inside]


def _closing(spots: NDArray[np.float64], candidates: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Dilate the spots by a disc, erode by the same disc."""
    inside = np.asarray(cKDTree(spots).query(candidates)[0]) <= radius + _SLACK
    to_outside = cKDTree(candidates[~inside]).query(candidates[inside])[0]
    inside[inside] = to_outside > radius + _SLACK
    return inside


def _in_hull(spots: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    try:
        corners = spots[ConvexHull(spots).vertices]
    except (QhullError, ValueError):
        # Spots on one line, or fewer than three: their hull has no inside, sites between them lie on the line.
        return _on_segment(spots, candidates)
    found: NDArray[np.bool_] = Delaunay(corners).find_simplex(candidates, tol=_SLACK) >= 0
    return found


def _on_segment(spots: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    centre = spots.mean(axis=0)
    direction = np.linalg.svd(spots - centre, full_matrices=False)[2][0]
    along, across = (candidates - centre) @ direction, (candidates - centre) @ np.array([-direction[1], direction[0]])
    reach = (spots - centre) @ direction
    on: NDArray[np.bool_] = (np.abs(across) < _SLACK) & (along > reach.min() - _SLACK) & (along < reach.max() + _SLACK)
    return on
