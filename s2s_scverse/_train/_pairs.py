"""Training and validation masks of one section: which spots are visible, and which are to be predicted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._lattice import Lattice, random_sample, regular_sample

__all__ = ["Views", "dense_views", "held_views", "sampled_views", "sparser_views"]

MAX_KEPT = 0.8  # largest fraction of visible sites: where nearly all are measured, a fifth of the spots is still masked
SPARSER = 2  # spacing of the sparser sample, in spots
MIN_VISIBLE = 4  # smallest number of visible spots of a validation mask


@dataclass(frozen=True)
class Views:
    """One lattice with several masks."""

    lattice: Lattice
    known: NDArray[np.bool_]  # (n_sites,): where the truth is known
    visible: NDArray[np.bool_]  # (n_masks, n_sites): visible to the network; a subset of the known sites


def sparser_views(
    lattice: Lattice, known: NDArray[np.bool_], *, n: int, drop: float, rng: np.random.Generator
) -> Views:
    """At least `n` training masks that keep one of four spots `known` (n_sites,): sparser -> sparse.

    Spots are related in the same way to a dense lattice that is twice as fine. For finer ones, an equally sparse sample
    would leave too few spots to learn from. Mask dropout, `drop`, is the largest fraction of the remaining spots that
    is masked at random; every second mask drops none.
    """
    stride = lattice.stride(known)
    if stride == 1:
        # Spots have no regular spacing: thin them at random.
        kept = min(known.mean(), MAX_KEPT)
        return Views(lattice, known, _thinned(known, n, np.full(n, 1 - kept), rng))
    spots = lattice.subset(known).coarsened(stride)
    phases = rng.permutation(SPARSER**2)
    n = max(n, len(phases))
    regular = [regular_sample(spots, SPARSER, divmod(int(phases[view % len(phases)]), SPARSER)) for view in range(n)]
    regular = [phase if phase.any() else np.ones(len(spots), bool) for phase in regular]
    # In the next round of phases the other half of the masks drops spots.
    dropped = [drop * rng.uniform(0.2, 1) * ((view + view // len(phases)) % 2) for view in range(n)]
    thinned = [_thinned(phase, 1, np.array([part]), rng) for phase, part in zip(regular, dropped, strict=True)]
    return Views(spots, np.ones(len(spots), dtype=bool), np.concatenate(thinned))


def dense_views(lattice: Lattice, known: NDArray[np.bool_], *, n: int, drop: float, rng: np.random.Generator) -> Views:
    """`n` training masks that hide half to all of the fraction `drop` of the spots `known`: sparse -> dense."""
    return Views(lattice, known, _thinned(known, n, drop * (0.5 + 0.5 * rng.random(n)), rng))


def held_views(
    lattice: Lattice, measured: NDArray[np.bool_], known: NDArray[np.bool_]
) -> list[tuple[Views, NDArray[np.bool_]]]:
    """Build two validation masks that bracket the true prediction distance, each with the sites to predict.

    On the dense lattice, validation spots, measured but not known, are holes in the lattice of spots, farther from
    visible spots than almost any unmeasured site. In sparser samples, those between the sites of a sample are placed
    like unmeasured sites, at twice the distance; this needs a regular spacing and enough spots.
    """
    ways = [(Views(lattice, measured, known[None]), (measured & ~known)[None])]
    if lattice.stride(measured) > 1:
        spots, phases = _phases(lattice, measured)
        aside = ~known[measured]
        visible, scored = phases & ~aside, ~phases & aside
        usable = (visible.sum(axis=1) >= MIN_VISIBLE) & scored.any(axis=1)
        if usable.any():
            ways.append((Views(spots, np.ones(len(spots), dtype=bool), visible[usable]), scored[usable]))
    return ways


def sampled_views(
    lattice: Lattice, measured: NDArray[np.bool_], rng: np.random.Generator
) -> list[tuple[Views, NDArray[np.bool_]]]:
    """Build validation masks for a network that was not trained on the section, with the sites to predict.

    All spots outside a sparser sample are predicted from it. Without a regular spacing samples are random ones.
    """
    if lattice.stride(measured) > 1:
        spots, visible = _phases(lattice, measured)
    else:
        spots = lattice.subset(measured)
        hidden = np.full(SPARSER**2, 1 - min(measured.mean(), MAX_KEPT))
        visible = _thinned(np.ones(len(spots), bool), SPARSER**2, hidden, rng)
    visible = visible[visible.sum(axis=1) >= MIN_VISIBLE]
    return [(Views(spots, np.ones(len(spots), dtype=bool), visible), ~visible)]


def _phases(lattice: Lattice, measured: NDArray[np.bool_]) -> tuple[Lattice, NDArray[np.bool_]]:
    """The lattice of spots, and its four sparser samples, (4, n_spots)."""
    spots = lattice.subset(measured).coarsened(lattice.stride(measured))
    return spots, np.stack([regular_sample(spots, SPARSER, divmod(i, SPARSER)) for i in range(SPARSER**2)])


def _thinned(
    known: NDArray[np.bool_], n: int, parts: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mask a random part of the known sites, n times."""
    visible = np.tile(known, (n, 1))
    sites = np.flatnonzero(known)
    for row, part in zip(visible, parts, strict=True):
        row[sites] = random_sample(len(sites), 1 - part, rng)
    return visible
