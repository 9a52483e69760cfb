"""The best answer without a network: a mean of several, with weights from what they predict of hidden spots."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ._cokriging import CoKriging
from ._kriging import Kriging, Settings
from ._profiles import Profiles
from ._two_covariances import TwoCovariances
from ._types import Bool, Float, Float32, Float64, Index

__all__ = ["FOLDS", "MAX_LEFT_OUT", "Blend", "BlendSettings", "Blended", "Folded", "Weights", "folds"]

_FEW, _MANY = 10, 25  # components: few for small sections, many for large ones
FOLDS = 5
MAX_LEFT_OUT = 1500
"""Of more spots about so many are left out, spread over the section."""
_SMALLEST = 4 * FOLDS  # spots; with fewer the weights are not worth the name

_REACH = 1.5  # spot pitches: up to here sites are as near to spots as those that weights are found with
_RARE = 0.01  # part of the sites; where fewer are beyond it is not worth finding out how they are predicted best
_BLOCK = 20  # spots
_DEALS = 4  # of spots into blocks: what one says of 665 spots was between 0 and .97 by chance


@dataclass(frozen=True)
class Weights:
    """What a blend is made of.

    Attributes
    ----------
    members
        Of kriging, 10 components, 25 components, profiles and two covariances; none negative, 1 in all.
    far
        Share of their mean far from all spots, where the rest is co-kriging.
    """

    members: tuple[float, float, float, float, float]
    far: float = 1.0


_COKRIGING: Final = Weights((0.5, 0.0, 0.5, 0.0, 0.0))


@dataclass(frozen=True)
class BlendSettings:
    """What leave-one-out chose for some genes, for kriging and for profiles."""

    kriging: Settings
    profiles: Settings


@dataclass(frozen=True)
class Blended:
    """A block of genes.

    Attributes
    ----------
    sites
        (m, n_genes) the answer.
    kriging, cokriging, profiles
        (m, n_genes) what `Kriging`, `CoKriging` and `Profiles` say.
    """

    sites: Float32
    kriging: Float32
    cokriging: Float32
    profiles: Float32


class Blend:
    """Weighted mean of kriging, components (10 and 25), profiles and `TwoCovariances`, the same weights for all genes.

    Between 1.5 and 3 spot pitches from the nearest spot it goes over to the mean that `Weights.far` says.

    Parameters
    ----------
    kriging
        The spots and the sites, and how much each spot says.
    informative
        (n, n_informative) values to fit everything to, as for `CoKriging`.
    weights
        From `Folded`; worked out here unless given.
    seed
        Of the folds, if they are worked out.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, weights: Weights | None = None, seed: int = 0) -> None:
        self.weights = weights or Folded(kriging, informative, seed=seed).weights(kriging)
        enough = len(kriging.spots) >= _SMALLEST
        self._members = _Members(kriging, informative, profiles=enough, two=self.weights.members[4] > 0)
        self._far = ((1 - self.weights.far) * _farness(kriging))[:, None].astype(np.float32)

    def choose(self, values: Float) -> BlendSettings:
        """Kernels and nuggets of a block of genes, (n, n_genes)."""
        return self._members.choose(values)

    def predict(self, values: Float, settings: BlendSettings | None = None) -> Blended:
        """Predict a block of genes, (n, n_genes); kernels and nuggets are chosen unless given."""
        maps, cokriging = self._members.predict(values, settings)
        sites = _mean(maps, self.weights.members)
        if self.weights.far < 1:
            sites += self._far * (cokriging - sites)
        return Blended(sites, maps[0], cokriging, maps[3])


class Folded:
    """Cross-validation of the members of a blend.

    Parameters
    ----------
    kriging
        The spots, and how much each says.
    informative
        (n, n_informative) values to fit everything to.
    max_spots
        About so many spots, spread over the section, are left out, a fifth or less at a time.
    seed
        Of the folds.

    Attributes
    ----------
    fold
        (n,) of every spot, -1 for those that are never left out.
    chosen
        (n_chosen,) the spots that are left out.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, max_spots: int = MAX_LEFT_OUT, seed: int = 0) -> None:
        self._kriging, self._limit, self._seed = kriging, max_spots, seed
        self._informative = np.asarray(informative, np.float32)
        self.fold = folds(self._informative, max_spots, seed)
        self.chosen = np.flatnonzero(self.fold >= 0)
        self._members = dict(_fitted(kriging.spots, kriging.precision, self._informative, self.fold))
        self._found = {
            number: members.predict(self._informative[self.fold != number])[0]
            for number, members in self._members.items()
        }

    def predict_informative(self, weights: Weights) -> Float32:
        """Predict the informative values at the chosen spots, (n_chosen, n_informative)."""
        result = np.empty(self._informative.shape, np.float32)
        for number, maps in self._found.items():
            result[self.fold == number] = _mean(maps, weights.members)
        return result[self.chosen]

    def predict(self, values: Float, weights: Weights, settings: BlendSettings | None = None) -> Float32:
        """Predict the chosen spots, (n_chosen, n_genes), of a block (n, n_genes), each when it was left out."""
        result = np.empty(values.shape, np.float32)
        for number, members in self._members.items():
            hidden = self.fold == number
            result[hidden] = _mean(members.predict(values[~hidden], settings)[0], weights.members)
        return result[self.chosen]

    def weights(self, sites: Kriging) -> Weights:
        """Weights for the sites of `sites`.

        They minimise the squared error at the spots left out, each gene in units of its own variance. If more than one
        site in a hundred is beyond their reach, blocks of spots are left out in the same way, in several random
        partitions, to find the share of the blend there. With less than 20 spots the weights are those of co-kriging.
        """
        varying = np.ptp(self._informative, axis=0) > 0
        if len(self.fold) < _SMALLEST or not varying.any():
            return _COKRIGING
        hidden = {number: np.flatnonzero(self.fold == number) for number in self._found}
        members = _simplex(*_moments(self._found, self._informative, hidden, varying))
        if np.sum(_farness(sites) > 0) <= _RARE * len(sites.sites):
            return Weights(members)
        return Weights(members, self._far_share(np.array(members), varying))

    def _far_share(self, members: Float64, varying: Bool) -> float:
        """How much of the way from co-kriging to the mean of the members is best far from all spots."""
        piece = self._kriging.sample(self._limit)
        spots, precision = self._kriging.spots[piece], self._kriging.precision[piece]
        informative = self._informative[piece]
        square, cross = np.zeros((len(members), len(members))), np.zeros(len(members))
        for rng in np.random.default_rng(self._seed).spawn(_DEALS):
            blocks = _blocks(spots, informative, rng)
            fitted = _fitted(spots, precision, informative, blocks, beyond=_REACH)
            found = {number: each.predict(informative[blocks != number])[0] for number, each in fitted}
            hidden = {number: _hidden(spots, blocks, number, _REACH) for number in found}
            more_square, more_cross = _moments(found, informative, hidden, varying)
            square, cross = square + more_square, cross + more_cross
        start = np.array(_COKRIGING.members)
        step = members - start
        power = step @ square @ step
        return float(np.clip(step @ (cross - square @ start) / power, 0, 1)) if power > 0 else 1.0


def _fitted(
    spots: Float64, precision: Float64, informative: Float32, fold: Index, beyond: float = 0.0
) -> Iterator[tuple[int, "_Members"]]:
    """Fit to all spots but those of each fold, for the spots of that fold farther than `beyond` from all others."""
    for number in range(fold.max() + 1):
        hidden, seen = _hidden(spots, fold, number, beyond), fold != number
        if len(hidden) and seen.any():
            kriging = Kriging(spots[seen], spots[hidden], precision=precision[seen])
            enough = len(fold) >= _SMALLEST
            yield number, _Members(kriging, informative[seen], profiles=enough, two=enough)


def _hidden(spots: Float64, fold: Index, number: int, beyond: float) -> Index:
    hidden = np.flatnonzero(fold == number)
    seen = spots[fold != number]
    if not (beyond and len(hidden) and len(seen)):
        return hidden
    return hidden[cKDTree(seen).query(spots[hidden])[0] > beyond]


def _moments(
    found: dict[int, list[Float32]], informative: Float32, hidden: dict[int, Index], varying: Bool
) -> tuple[Float64, Float64]:
    """Products of predictions of hidden spots with one another (5, 5), and with what was measured there (5,)."""
    n = len(_COKRIGING.members)
    values = informative[:, varying]
    scale = np.maximum(values.std(axis=0), 1e-6)
    square, cross = np.zeros((n, n)), np.zeros(n)
    for number, maps in found.items():
        flat = (np.stack(maps)[:, :, varying] / scale).reshape(n, -1).astype(np.float64)
        square += flat @ flat.T
        cross += flat @ (values[hidden[number]] / scale).ravel()
    return square, cross


class _Members:
    """What a blend is made of, fitted to some spots."""

    def __init__(self, kriging: Kriging, informative: Float, *, profiles: bool, two: bool) -> None:
        self._many = CoKriging(kriging, informative, n_components=_MANY)
        self._few = self._many.with_components(_FEW)
        self._profiles = Profiles(self._many) if profiles else None
        self._two = None
        if two:
            self._two = TwoCovariances(kriging.spots, kriging.sites, informative, precision=kriging.precision)

    def choose(self, values: Float) -> BlendSettings:
        kriging = self._many.kriging.choose(values)
        return BlendSettings(kriging, kriging if self._profiles is None else self._profiles.choose(values))

    def predict(self, values: Float, settings: BlendSettings | None = None) -> tuple[list[Float32], Float32]:
        """Maps (m, n_genes) of the members, and that of co-kriging."""
        found = self._many.predict(values, None if settings is None else settings.kriging)
        profiles = found.components
        if self._profiles is not None:
            profiles = self._profiles.predict(values, None if settings is None else settings.profiles)
        maps = [found.kriging.sites, self._few.project(values), found.components, profiles]
        if self._two is not None:
            maps.append(self._two.predict(values))
        return maps, found.sites


def _mean(maps: list[Float32], weights: tuple[float, ...]) -> Float32:
    result = np.zeros_like(maps[0])
    for weight, each in zip(weights, maps, strict=False):
        if weight:
            result += np.float32(weight) * each
    return result


def _farness(kriging: Kriging) -> Float64:
    """How far sites are from all spots, (m,): 0 up to the reach of a blend's weights, 1 from twice that on."""
    distance = np.asarray(cKDTree(kriging.spots).query(kriging.sites)[0])
    return np.clip(distance / _REACH - 1, 0, 1)


def folds(values: Float32, limit: int = MAX_LEFT_OUT, seed: int = 0) -> Index:
    """Draw cross-validation folds of spots (n, n_genes), (n,), each a fifth of them; -1 for spots that are in none.

    Of more than `limit` spots about so many, spread at random, are in a fold, and no fold has more.
    """
    n = len(values)
    n_parts = max(FOLDS, -(-n // limit))
    n_folds = FOLDS if n <= limit else max(1, round(limit * n_parts / n))
    fold = _shuffled(values, np.random.default_rng(seed)) % n_parts
    return np.where(fold < n_folds, fold, -1)


def _blocks(spots: Float64, values: Float32, rng: np.random.Generator) -> Index:
    """Draw five folds of spots, (n,), in blocks of neighbours: those nearest to one of some random spots."""
    centres = spots[np.argsort(_shuffled(values, rng))[: max(FOLDS, len(spots) // _BLOCK)]]
    # Of equally near centres the first.
    return np.asarray((cdist(spots, centres) + 1e-6 * np.arange(len(centres))).argmin(axis=1) % FOLDS)


def _shuffled(values: Float32, rng: np.random.Generator) -> Index:
    """Random number of every spot, each from 0 to n - 1 once.

    Drawn by total value: neither the order in which spots come nor a turn of the section matters.
    """
    lot = np.empty(len(values), np.intp)
    order = np.argsort(values.sum(axis=1, dtype=np.float64), kind="stable")
    lot[order] = rng.permutation(len(values))
    return lot


def _simplex(square: Float64, cross: Float64) -> tuple[float, float, float, float, float]:
    """Least squares w'Aw - 2b'w under w >= 0 and sum(w) = 1, the latter by a heavy row."""
    root = np.linalg.cholesky(square + 1e-9 * np.trace(square) * np.eye(len(square)))
    heavy = 1e3 * np.sqrt(np.trace(square))
    weights, _ = nnls(np.vstack([root.T, np.full(len(square), heavy)]), np.append(np.linalg.solve(root, cross), heavy))
    single, few, many, profiles, two = (float(weight) for weight in weights / weights.sum())
    return single, few, many, profiles, two
