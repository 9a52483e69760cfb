"""Pairs drawn from one section: which spots the network sees, which it must predict. Masks only, numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._lattice import Lattice, random_sample, regular_sample

__all__ = ["Views", "dense_views", "sparser_views"]

MAX_KEPT = 0.8
"""Where nearly all sites are measured, still hide a fifth of the spots: otherwise there is little to learn from."""


@dataclass(frozen=True)
class Views:
    """One lattice and several ways of looking at it."""

    lattice: Lattice
    known: NDArray[np.bool_]
    """(n_sites,): where the truth is known."""
    visible: NDArray[np.bool_]
    """(n_views, n_sites): what the network sees; always known."""


def sparser_views(
    lattice: Lattice, known: NDArray[np.bool_], *, n: int, drop: float, rng: np.random.Generator
) -> Views:
    """Subsample the spots once more, the way the dense lattice was subsampled: sparser -> sparse.

    Parameters
    ----------
    lattice
        All sites of the section.
    known
        (n_sites,): the spots.
    n
        Number of views; more where there are more phases, so that each is seen.
    drop
        Largest fraction of the remaining spots that is dropped at random; every second view drops none.
    """
    stride = lattice.stride(known)
    if stride == 1:
        # Spots have no regular spacing of their own: thin them as randomly as they were sampled.
        kept = min(known.mean(), MAX_KEPT)
        return Views(lattice, known, _thinned(known, n, np.full(n, 1 - kept), rng))
    spots = lattice.subset(known).coarsened(stride)
    phases = rng.permutation(stride**2)
    n = max(n, len(phases))
    regular = [regular_sample(spots, stride, divmod(int(phases[view % len(phases)]), stride)) for view in range(n)]
    regular = [phase if phase.any() else np.ones(len(spots), bool) for phase in regular]
    # In the next round of phases the other half of them drops spots.
    dropped = [drop * rng.uniform(0.2, 1) * ((view + view // len(phases)) % 2) for view in range(n)]
    thinned = [_thinned(phase, 1, np.array([part]), rng) for phase, part in zip(regular, dropped, strict=True)]
    return Views(spots, np.ones(len(spots), dtype=bool), np.concatenate(thinned))


def dense_views(lattice: Lattice, known: NDArray[np.bool_], *, n: int, drop: float, rng: np.random.Generator) -> Views:
    """Hide a few of the spots on the dense lattice itself: sparse -> dense.

    Parameters
    ----------
    lattice
        All sites of the section.
    known
        (n_sites,): the spots.
    n
        Number of views.
    drop
        Largest fraction of spots hidden; at least half of it is.
    """
    return Views(lattice, known, _thinned(known, n, drop * (0.5 + 0.5 * rng.random(n)), rng))


def _thinned(
    known: NDArray[np.bool_], n: int, parts: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Hide a random part of the known sites, n times."""
    visible = np.tile(known, (n, 1))
    sites = np.flatnonzero(known)
    for row, part in zip(visible, parts, strict=True):
        row[sites] = random_sample(len(sites), 1 - part, rng)
    return visible
