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
"""Of more spots about so many are left out, in whole pieces of the section."""
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
    """

    def __init__(self, kriging: Kriging, informative: Float, *, weights: Weights | None = None) -> None:
        self.weights = weights or Folded(kriging, informative).weights(kriging)
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
    """The members of a blend, five times: each time a fifth of the spots is hidden and predicted.

    Parameters
    ----------
    kriging
        The spots, and how much each says.
    informative
        (n, n_informative) values to fit everything to.
    max_spots
        Large sections are judged by about so many spots, in whole pieces.

    Attributes
    ----------
    chosen
        (n_chosen,) those spots.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, max_spots: int = MAX_LEFT_OUT) -> None:
        self.chosen = kriging.sample(max_spots)
        self._spots, self._precision = kriging.spots[self.chosen], kriging.precision[self.chosen]
        self._informative = np.asarray(informative, np.float32)[self.chosen]
        self._fold = folds(self._informative)
        self._members = dict(self._fitted(self._fold))
        self._found = {
            number: members.predict(self._informative[self._fold != number])[0]
            for number, members in self._members.items()
        }

    def predict_informative(self, weights: Weights) -> Float32:
        """Predict the informative values at the chosen spots, (n_chosen, n_informative)."""
        result = np.empty(self._informative.shape, np.float32)
        for number, maps in self._found.items():
            result[self._fold == number] = _mean(maps, weights.members)
        return result

    def predict(self, values: Float, weights: Weights, settings: BlendSettings | None = None) -> Float32:
        """Predict the chosen spots, (n_chosen, n_genes), of a block (n_chosen, n_genes), each when it was hidden."""
        result = np.empty(values.shape, np.float32)
        for number, members in self._members.items():
            hidden = self._fold == number
            result[hidden] = _mean(members.predict(values[~hidden], settings)[0], weights.members)
        return result

    def weights(self, sites: Kriging) -> Weights:
        """Weights for the sites of `sites`.

        They are those with the smallest squared error at the hidden spots, each gene in units of its own variance. If
        more than one site in a hundred is beyond their reach, blocks of spots are hidden in the same way, dealt several
        times, to find the share of the blend there. With less than 20 spots the weights are those of co-kriging.
        """
        varying = np.ptp(self._informative, axis=0) > 0
        if len(self._spots) < _SMALLEST or not varying.any():
            return _COKRIGING
        members = _simplex(*self._moments(self._found, self._fold, varying))
        if np.sum(_farness(sites) > 0) <= _RARE * len(sites.sites):
            return Weights(members)
        square, cross = np.zeros((len(members), len(members))), np.zeros(len(members))
        for deal in range(_DEALS):
            blocks = _blocks(self._spots, self._informative, deal)
            fitted = self._fitted(blocks, beyond=_REACH)
            found = {number: each.predict(self._informative[blocks != number])[0] for number, each in fitted}
            more_square, more_cross = self._moments(found, blocks, varying, beyond=_REACH)
            square, cross = square + more_square, cross + more_cross
        # How much of the way from co-kriging to the mean of the members is best.
        start = np.array(_COKRIGING.members)
        step = np.array(members) - start
        power = step @ square @ step
        return Weights(members, float(np.clip(step @ (cross - square @ start) / power, 0, 1)) if power > 0 else 1.0)

    def _fitted(self, fold: Index, beyond: float = 0.0) -> Iterator[tuple[int, "_Members"]]:
        """Fit to all spots but those of each fold, for the spots of that fold farther than `beyond` from all others."""
        for number in range(FOLDS):
            hidden = self._hidden(fold, number, beyond)
            if len(hidden) and len(hidden) < len(fold):
                seen = fold != number
                kriging = Kriging(self._spots[seen], self._spots[hidden], precision=self._precision[seen])
                enough = len(fold) >= _SMALLEST
                yield number, _Members(kriging, self._informative[seen], profiles=enough, two=enough)

    def _hidden(self, fold: Index, number: int, beyond: float) -> Index:
        hidden = np.flatnonzero(fold == number)
        seen = self._spots[fold != number]
        if not (beyond and len(hidden) and len(seen)):
            return hidden
        return hidden[cKDTree(seen).query(self._spots[hidden])[0] > beyond]

    def _moments(
        self, found: dict[int, list[Float32]], fold: Index, varying: Bool, *, beyond: float = 0.0
    ) -> tuple[Float64, Float64]:
        """Products of predictions of hidden spots with one another (5, 5), and with what was measured there (5,)."""
        n = len(_COKRIGING.members)
        values = self._informative[:, varying]
        scale = np.maximum(values.std(axis=0), 1e-6)
        square, cross = np.zeros((n, n)), np.zeros(n)
        for number, maps in found.items():
            flat = (np.stack(maps)[:, :, varying] / scale).reshape(n, -1).astype(np.float64)
            square += flat @ flat.T
            cross += flat @ (values[self._hidden(fold, number, beyond)] / scale).ravel()
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


def folds(values: Float32) -> Index:
    """Deal spots (n, n_genes) into five folds, (n,)."""
    return _shuffled(values) % FOLDS


def _blocks(spots: Float64, values: Float32, deal: int) -> Index:
    """Deal spots into five folds, (n,), in blocks of neighbours: those nearest to one of some spots drawn by lot."""
    centres = spots[np.argsort(_shuffled(values, deal))[: max(FOLDS, len(spots) // _BLOCK)]]
    # Of equally near centres the first.
    return np.asarray((cdist(spots, centres) + 1e-6 * np.arange(len(centres))).argmin(axis=1) % FOLDS)


def _shuffled(values: Float32, deal: int = 0) -> Index:
    """Random number of every spot, each from 0 to n - 1 once.

    Drawn by total value: neither the order in which spots come nor a turn of the section matters.
    """
    lot = np.empty(len(values), np.intp)
    order = np.argsort(values.sum(axis=1, dtype=np.float64), kind="stable")
    lot[order] = np.random.default_rng(deal).permutation(len(values))
    return lot


def _simplex(square: Float64, cross: Float64) -> tuple[float, float, float, float, float]:
    """Least squares w'Aw - 2b'w under w >= 0 and sum(w) = 1, the latter by a heavy row."""
    root = np.linalg.cholesky(square + 1e-9 * np.trace(square) * np.eye(len(square)))
    heavy = 1e3 * np.sqrt(np.trace(square))
    weights, _ = nnls(np.vstack([root.T, np.full(len(square), heavy)]), np.append(np.linalg.solve(root, cross), heavy))
    single, few, many, profiles, two = (float(weight) for weight in weights / weights.sum())
    return single, few, many, profiles, two
