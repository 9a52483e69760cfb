"""Overlapping tiles of a large section, which make the cost linear in the number of spots."""

from dataclasses import dataclass, replace

import numpy as np

from ._arrays import Bool, Float64, Index

__all__ = ["Tile", "boxes", "tiles"]

_MARGIN = 6.0  # width of the margin of spots around a tile, in pitches
_OVERLAP = 2.0  # width of the zone in which tiles are averaged, in pitches


@dataclass(frozen=True)
class Tile:
    """A box of the section with a margin of spots around it."""

    spots: Index  # (n,) spots in the box or its margin, ascending
    core: Bool  # (n,) which of them are in the box; every spot is in the core of exactly one tile
    sites: Index  # (m,) sites that this tile contributes to
    share: Float64  # (m,) its weight at these sites; weights of all tiles add up to 1

    def at(self, sites: Bool) -> "Tile":
        """Return the tile with those of its sites that are among `sites`, (n_sites,)."""
        kept = sites[self.sites]
        return replace(self, sites=self.sites[kept], share=self.share[kept])


def tiles(spots: Float64, sites: Float64, *, max_exact: int, max_core: int) -> list[Tile]:
    """Cut a section into tiles with at most `max_core` spots in their boxes, or return a single tile.

    The section is not cut if it has at most `max_exact` spots. Near the edge of a box, the predictions of adjacent
    tiles are averaged.
    """
    if len(spots) <= max_exact:
        everything = np.ones(len(spots), bool)
        return [Tile(np.arange(len(spots)), everything, np.arange(len(sites)), np.ones(len(sites)))]
    cut = boxes(spots, max_core)
    weights = [np.clip(1 - _outside(sites, low, high) / _OVERLAP, 0, 1) for low, high, _ in cut]
    total = np.sum(weights, axis=0)
    result = []
    for (low, high, core), weight in zip(cut, weights, strict=True):
        near = np.flatnonzero(_outside(spots, low, high) <= _MARGIN)
        reached = np.flatnonzero(weight)
        result.append(Tile(near, np.isin(near, core), reached, weight[reached] / total[reached]))
    return result


def boxes(spots: Float64, most: int) -> list[tuple[Float64, Float64, Index]]:
    """Halve the plane recursively until no box holds more than `most` of the spots (n, 2).

    Returns the lower corner (2,), the upper corner (2,), excluded, and the spots of every box.
    """

    def halve(inside: Index, low: Float64, high: Float64) -> list[tuple[Float64, Float64, Index]]:
        extent = np.ptp(spots[inside], axis=0)
        if len(inside) <= most or not extent.any():
            return [(low, high, inside)]
        axis = int(np.argmax(extent))
        cut = _middle(spots[inside, axis])
        left = spots[inside, axis] < cut
        below, above = high.copy(), low.copy()
        below[axis] = above[axis] = cut
        return halve(inside[left], low, below) + halve(inside[~left], above, high)

    return halve(np.arange(len(spots)), np.full(2, -np.inf), np.full(2, np.inf))


def _outside(points: Float64, low: Float64, high: Float64) -> Float64:
    distance: Float64 = np.maximum(low - points, points - high).max(axis=1)
    return np.maximum(distance, 0)


def _middle(positions: Float64) -> float:
    """Return a cut near the median, between two rows of a lattice, so that rounding does not assign spots."""
    ordered = np.sort(positions)
    gaps = np.diff(ordered)
    quarter = len(gaps) // 4
    central = np.zeros(len(gaps), bool)
    central[quarter : len(gaps) - quarter] = True
    if gaps[central].max() > 0:
        gaps = np.where(central, gaps, 0)
    candidates = np.flatnonzero(gaps > 0.5 * gaps.max())
    best = candidates[np.argmin(np.abs(candidates - (len(gaps) - 1) / 2))]
    return float(ordered[best] + gaps[best] / 2)
