"""Training and validation masks of one section: which spots are visible, and which are to be predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._lattice import Lattice, random_sample, regular_sample
from .._predict._arrays import Bool, Float64

__all__ = ["Views", "dense_views", "held_views", "sampled_views", "sparser_views"]

MAX_KEPT = 0.8  # largest fraction of visible sites: where nearly all are measured, a fifth of the spots is still masked
SPARSER = 2  # spacing of the sparser sample, in spots
MIN_VISIBLE = 4  # smallest number of visible spots of a validation mask


@dataclass(frozen=True)
class Views:
    """One lattice with several masks."""

    lattice: Lattice
    known: Bool  # (n_sites,): where the truth is known
    visible: Bool  # (n_masks, n_sites): visible to the network; a subset of the known sites


def sparser_views(lattice: Lattice, known: Bool, *, n: int, drop: float, rng: np.random.Generator) -> Views:
    """At least `n` training masks that keep one of four spots `known` (n_sites,): sparser -> sparse.

    Spots are related in the same way to a dense lattice that is twice as fine. For finer ones, an equally sparse sample
    would leave too few spots to learn from. Mask dropout, `drop`, is the largest fraction of the remaining spots that
    is masked at random; every second mask drops none.
    """
    stride = lattice.stride(known)
    if stride == 1:
        # Spots have no regular spacing: thin them at random.
        kept = min(known.mean(), MAX_KEPT)
        return Views(lattice, known, _thinned(known, [1 - kept] * n, rng))
    spots, samples = _phases(lattice, known)
    samples[~samples.any(axis=1)] = True
    phases = rng.permutation(len(samples))
    views = range(max(n, len(phases)))
    # In the next round of phases the other half of the masks drops spots.
    dropped = [drop * rng.uniform(0.2, 1) * ((view + view // len(phases)) % 2) for view in views]
    thinned = [_thinned(samples[phases[view % len(phases)]], [dropped[view]], rng) for view in views]
    return Views(spots, np.ones(len(spots), dtype=bool), np.concatenate(thinned))


def dense_views(lattice: Lattice, known: Bool, *, n: int, drop: float, rng: np.random.Generator) -> Views:
    """`n` training masks that hide half to all of the fraction `drop` of the spots `known`: sparse -> dense."""
    return Views(lattice, known, _thinned(known, drop * (0.5 + 0.5 * rng.random(n)), rng))


def held_views(lattice: Lattice, measured: Bool, known: Bool) -> list[tuple[Views, Bool]]:
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


def sampled_views(lattice: Lattice, measured: Bool, rng: np.random.Generator) -> list[tuple[Views, Bool]]:
    """Build validation masks for a network that was not trained on the section, with the sites to predict.

    All spots outside a sparser sample are predicted from it. Without a regular spacing samples are random ones.
    """
    if lattice.stride(measured) > 1:
        spots, visible = _phases(lattice, measured)
    else:
        spots = lattice.subset(measured)
        hidden = 1 - min(measured.mean(), MAX_KEPT)
        visible = _thinned(np.ones(len(spots), bool), [hidden] * SPARSER**2, rng)
    visible = visible[visible.sum(axis=1) >= MIN_VISIBLE]
    return [(Views(spots, np.ones(len(spots), dtype=bool), visible), ~visible)]


def _phases(lattice: Lattice, measured: Bool) -> tuple[Lattice, Bool]:
    """The lattice of spots, and its four sparser samples, (4, n_spots)."""
    spots = lattice.subset(measured).coarsened(lattice.stride(measured))
    return spots, np.stack([regular_sample(spots, SPARSER, divmod(i, SPARSER)) for i in range(SPARSER**2)])


def _thinned(known: Bool, parts: Sequence[float] | Float64, rng: np.random.Generator) -> Bool:
    """Mask random parts of the known sites, (n_parts, n_sites)."""
    visible = np.tile(known, (len(parts), 1))
    sites = np.flatnonzero(known)
    for row, part in zip(visible, parts, strict=True):
        row[sites] = random_sample(len(sites), 1 - part, rng)
    return visible
