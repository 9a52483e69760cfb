"""Which unmeasured sites belong to a section, and which sites a sparser sample keeps."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, Delaunay, QhullError, cKDTree

from ._lattice import Lattice

__all__ = ["Fill", "fill_sites", "random_sample", "regular_sample"]

Fill = Literal["tissue", "hull", "all"]

CLOSING_RADIUS = 1.6
"""In spot pitches: gaps up to two spots wide are closed, ventricles and tears that are wider stay open."""
_SLACK = 1e-6


def fill_sites(lattice: Lattice, *, factor: int, fill: Fill) -> NDArray[np.int64]:
    """Find the sites that are no spots, (n, 2) indices in row-major order.

    `lattice` has the spots as positions of the dense lattice, `factor` sites apart. `fill` is ``"tissue"`` (the
    morphological closing of the spots), ``"hull"`` (their convex hull) or ``"all"`` (the bounding box of the lattice).
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


def regular_sample(lattice: Lattice, stride: int, phase: tuple[int, int]) -> NDArray[np.bool_]:
    """(n_sites,): True where u and v, counted from the smallest ones, are `phase` modulo `stride`."""
    kept: NDArray[np.bool_] = np.all((lattice.index - lattice.lower) % stride == np.asarray(phase) % stride, axis=1)
    return kept


def random_sample(n_sites: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n_sites,): True at a random `fraction` of the sites, at least one."""
    kept = np.zeros(n_sites, dtype=bool)
    kept[rng.permutation(n_sites)[: max(round(fraction * n_sites), 1)]] = True
    return kept
