"""Subsamples of a lattice: which sites of a regular or random sparser sample are kept."""

import numpy as np
from numpy.typing import NDArray

from ._lattice import Lattice

__all__ = ["random_sample", "regular_sample"]


def regular_sample(lattice: Lattice, stride: int, phase: tuple[int, int]) -> NDArray[np.bool_]:
    """Keep the sites whose u and v, counted from the smallest ones, are `phase` modulo `stride`.

    Returns
    -------
    (n_sites,): True where kept.
    """
    kept: NDArray[np.bool_] = np.all((lattice.index - lattice.lower) % stride == np.asarray(phase) % stride, axis=1)
    return kept


def random_sample(n_sites: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Keep a random `fraction` of the sites, at least one.

    Returns
    -------
    (n_sites,): True where kept.
    """
    kept = np.zeros(n_sites, dtype=bool)
    kept[rng.permutation(n_sites)[: max(round(fraction * n_sites), 1)]] = True
    return kept
