"""Unmeasured sites inside the tissue, and subsamples of sites."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, Delaunay, QhullError, cKDTree

from ._lattice import Lattice

__all__ = ["Fill", "fill_sites", "random_sample", "regular_sample"]

Fill = Literal["tissue", "hull", "all"]

CLOSING_RADIUS = 1.6  # in spot pitches: closes gaps up to two spots wide; wider ventricles and tears stay open
_SLACK = 1e-6


def fill_sites(lattice: Lattice, *, factor: int, fill: Fill) -> NDArray[np.int64]:
    """Return the indices of the unmeasured sites, (n, 2), in row-major order.

    `lattice` holds the spots on the dense lattice, `factor` sites apart. Sites fill the morphological closing of the
    spots (``"tissue"``), their convex hull (``"hull"``) or their bounding box (``"all"``).
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
    """Return the candidates inside the dilation of the spots by a disc, eroded by the same disc."""
    inside = np.asarray(cKDTree(spots).query(candidates)[0]) <= radius + _SLACK
    to_outside = cKDTree(candidates[~inside]).query(candidates[inside])[0]
    inside[inside] = to_outside > radius + _SLACK
    return inside


def _in_hull(spots: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    try:
        corners = spots[ConvexHull(spots).vertices]
    except (QhullError, ValueError):
        # Fewer than three spots, or spots on a line, have a segment for a hull.
        direction = np.linalg.svd(spots - spots.mean(axis=0), full_matrices=False)[2][0]
        offset, reach = candidates - spots.mean(axis=0), (spots - spots.mean(axis=0)) @ direction
        along, across = offset @ direction, offset @ np.array([-direction[1], direction[0]])
        on_segment = (along > reach.min() - _SLACK) & (along < reach.max() + _SLACK)
        return np.asarray(on_segment & (np.abs(across) < _SLACK))
    return np.asarray(Delaunay(corners).find_simplex(candidates, tol=_SLACK) >= 0)


def regular_sample(lattice: Lattice, stride: int, phase: tuple[int, int]) -> NDArray[np.bool_]:
    """Select sites whose u and v, counted from the smallest ones, equal `phase` modulo `stride`, (n_sites,)."""
    return np.asarray(np.all((lattice.index - lattice.lower) % stride == np.asarray(phase) % stride, axis=1))


def random_sample(n_sites: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Select a random `fraction` of the sites, at least one, (n_sites,)."""
    kept = np.zeros(n_sites, dtype=bool)
    kept[rng.permutation(n_sites)[: max(round(fraction * n_sites), 1)]] = True
    return kept
