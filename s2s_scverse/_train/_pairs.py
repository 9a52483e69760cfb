"""Pairs drawn from one section: which spots the network sees, which it must predict. Masks only, numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._lattice import Lattice, random_sample, regular_sample

__all__ = ["Views", "dense_views", "held_views", "sparser_views"]

MAX_KEPT = 0.8
"""Where nearly all sites are measured, still hide a fifth of the spots: otherwise there is little to learn from."""
SPARSER = 2
"""Spacing of the sparser sample, in spots."""
MIN_VISIBLE = 4
"""Fewer spots are no sample to predict others from."""


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
    """Subsample the spots once more, one of four: sparser -> sparse.

    That is the way the dense lattice was subsampled if it is twice as fine. Where it is finer, a sample as sparse would
    leave too few spots to learn from.

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
    phases = rng.permutation(SPARSER**2)
    n = max(n, len(phases))
    regular = [regular_sample(spots, SPARSER, divmod(int(phases[view % len(phases)]), SPARSER)) for view in range(n)]
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


def held_views(
    lattice: Lattice, measured: NDArray[np.bool_], known: NDArray[np.bool_]
) -> list[tuple[Views, NDArray[np.bool_]]]:
    """Hide the spots kept aside in two ways, neither of which is quite that of unmeasured sites.

    On the dense lattice, at its own scale, they are holes in the lattice of spots, farther from visible spots than
    almost any unmeasured site. From the sparser samples of the spots, those that lie between a sample's sites lie as
    unmeasured sites do, but at twice the distance. The latter needs a regular spacing and enough spots.

    Parameters
    ----------
    lattice
        All sites of the section.
    measured
        (n_sites,): the spots.
    known
        (n_sites,): those not kept aside.

    Returns
    -------
    One or two times, the views, and which sites are to be predicted in each, (n_views, n_sites).
    """
    ways = [(Views(lattice, measured, known[None]), (measured & ~known)[None])]
    stride = lattice.stride(measured)
    if stride > 1:
        spots, aside = lattice.subset(measured).coarsened(stride), ~known[measured]
        phases = np.stack([regular_sample(spots, SPARSER, divmod(i, SPARSER)) for i in range(SPARSER**2)])
        visible, scored = phases & ~aside, ~phases & aside
        usable = (visible.sum(axis=1) >= MIN_VISIBLE) & scored.any(axis=1)
        if usable.any():
            ways.append((Views(spots, np.ones(len(spots), dtype=bool), visible[usable]), scored[usable]))
    return ways


def _thinned(
    known: NDArray[np.bool_], n: int, parts: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Hide a random part of the known sites, n times."""
    visible = np.tile(known, (n, 1))
    sites = np.flatnonzero(known)
    for row, part in zip(visible, parts, strict=True):
        row[sites] = random_sample(len(sites), 1 - part, rng)
    return visible
