"""Inverse noise variances of spots, from how many molecules were counted there."""

import numpy as np
from scipy.spatial import cKDTree

from .._lattice import SectionOnLattice
from ._arrays import Bool, Float, Float64

__all__ = ["find_noise_weights", "section_noise_weights"]

_NEIGHBOURS = 24
_LENGTH = 1.0  # in spot pitches


def find_noise_weights(spots: Float, depth: Float) -> Float64:
    """Inverse noise variance of every spot (n, 2), relative to the spots around it, from its total count (n,).

    Of the variance of a spot's value, one part is the same for all and one is due to counting and falls with the
    spot's depth; at a spot as deep as those around it the two are taken to be equal: weight = 1 / (1 + r), with r
    the depth around a spot over its own. Only the depth relative to that around counts: whole regions differ in depth
    for reasons of biology, and must not be predicted from other regions.
    """
    if len(spots) < 2:
        return np.ones(len(spots))
    logs = np.log(np.asarray(depth, np.float64))
    found = cKDTree(spots).query(spots, k=min(len(spots), _NEIGHBOURS + 1))
    distance, neighbour = (np.asarray(each)[:, 1:] for each in found)
    weight = np.exp(-distance / _LENGTH)
    around = (weight * logs[neighbour]).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(1 / (1 + np.exp(around - logs)))


def section_noise_weights(section: SectionOnLattice, seen: Bool) -> Float64 | None:
    """Noise weights of those measured sites that are seen, (n_sites,); None where the depth is not known."""
    if section.depth is None:
        return None
    return find_noise_weights(section.positions(seen)[seen], section.depth[seen[section.measured]])
