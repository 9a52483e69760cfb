"""The best answer without a network: a mean of several, with weights from what they predict of hidden spots."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ._cokriging import CoKriging
from ._kriging import Kriging
from ._profiles import Profiles
from ._two_covariances import TwoCovariances
from ._types import Float, Float32, Float64, Index

__all__ = ["FOLDS", "Blend", "Blended", "Weights", "blend_weights", "folds"]

_FEW, _MANY = 10, 25  # components: few for small sections, many for large ones
FOLDS = 5
_SMALLEST = 4 * FOLDS  # spots; with fewer the weights are not worth the name

_REACH = 1.5  # spot pitches: up to here sites are as near to spots as those that weights are found with
_RARE = 0.01  # part of the sites; where fewer are beyond it is not worth finding out how they are predicted best
_BLOCK = 20  # spots


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
        From `blend_weights`, to use them on other spots of the same section; worked out here unless given.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, weights: Weights | None = None) -> None:
        self.weights = weights or blend_weights(kriging, informative)
        self._many = CoKriging(kriging, informative, n_components=_MANY)
        self._few = self._many.with_components(_FEW)
        self._profiles = Profiles(self._many) if len(kriging.spots) >= _SMALLEST else None
        self._two = None
        if self.weights.members[4] > 0:
            self._two = TwoCovariances(kriging.spots, kriging.sites, informative, precision=kriging.precision)
        self._far = ((1 - self.weights.far) * _farness(kriging))[:, None]

    def predict(self, values: Float) -> Blended:
        """Predict a block of genes, (n, n_genes)."""
        found = self._many.predict(values)
        profiles = found.components if self._profiles is None else self._profiles.predict(values)
        maps = [found.kriging.sites, self._few.project(values), found.components, profiles]
        if self._two is not None:
            maps.append(self._two.predict(values))
        sites = sum(weight * each for weight, each in zip(self.weights.members, maps, strict=False))
        sites = sites + self._far * (found.sites - sites)
        return Blended(np.asarray(sites, np.float32), found.kriging.sites, found.sites, profiles)


def blend_weights(kriging: Kriging, informative: Float, *, max_spots: int = 1500) -> Weights:
    """Weights of what `Blend` is made of, for the sites of `kriging`.

    Five times, a fifth of the spots is hidden and predicted with everything fitted to the others; the weights are those
    with the smallest squared error, each gene in units of its own variance. If at least one site in a hundred is beyond
    their reach, blocks of spots are hidden in the same way to find the share of the blend there. With less than 20
    spots the weights are those of co-kriging. Large sections are judged by about `max_spots` spots.
    """
    values = np.asarray(informative, np.float32)
    values = values[:, np.ptp(values, axis=0) > 0]
    chosen = kriging.sample(max_spots)
    spots, precision, values = kriging.spots[chosen], kriging.precision[chosen], values[chosen]
    if len(spots) < _SMALLEST or not values.shape[1]:
        return _COKRIGING
    members = _simplex(*_moments(spots, precision, values, folds(values)))
    if np.sum(_farness(kriging) > 0) <= _RARE * len(kriging.sites):
        return Weights(members)
    square, cross = _moments(spots, precision, values, _blocks(spots, values), beyond=_REACH)
    # How much of the way from co-kriging to the mean of the members is best.
    start = np.array(_COKRIGING.members)
    step = np.array(members) - start
    power = step @ square @ step
    return Weights(members, float(np.clip(step @ (cross - square @ start) / power, 0, 1)) if power > 0 else 1.0)


def _farness(kriging: Kriging) -> Float64:
    """How far sites are from all spots, (m,): 0 up to the reach of a blend's weights, 1 from twice that on."""
    distance = np.asarray(cKDTree(kriging.spots).query(kriging.sites)[0])
    return np.clip(distance / _REACH - 1, 0, 1)


def _moments(
    spots: Float64, precision: Float64, values: Float32, fold: Index, *, beyond: float = 0.0
) -> tuple[Float64, Float64]:
    """Products of predictions of hidden spots with one another (5, 5), and with what was measured there (5,).

    Every fold is hidden in turn, and those of its spots are predicted that are farther than `beyond` from all others.
    """
    n = len(_COKRIGING.members)
    scale = np.maximum(values.std(axis=0), 1e-6)
    square, cross = np.zeros((n, n)), np.zeros(n)
    for number in range(FOLDS):
        seen = fold != number
        hidden = np.flatnonzero(~seen)
        if len(hidden) and beyond:
            hidden = hidden[cKDTree(spots[seen]).query(spots[hidden])[0] > beyond]
        if not len(hidden):
            continue
        maps = _candidates(spots[seen], precision[seen], values[seen], spots[hidden]) / scale
        flat = maps.reshape(n, -1).astype(np.float64)
        square += flat @ flat.T
        cross += flat @ (values[hidden] / scale).ravel()
    return square, cross


def _candidates(spots: Float64, precision: Float64, values: Float32, sites: Float64) -> Float32:
    many = CoKriging(Kriging(spots, sites, precision=precision), values, n_components=_MANY)
    found = many.predict(values)
    few = many.with_components(_FEW).project(values)
    two = TwoCovariances(spots, sites, values, precision=precision).predict(values)
    return np.stack([found.kriging.sites, few, found.components, Profiles(many).predict(values), two])


def folds(values: Float32) -> Index:
    """Deal spots (n, n_genes) into five folds, (n,)."""
    return _shuffled(values) % FOLDS


def _blocks(spots: Float64, values: Float32) -> Index:
    """Deal spots into five folds, (n,), in blocks of neighbours: those nearest to one of some spots drawn by lot."""
    centres = spots[np.argsort(_shuffled(values))[: max(FOLDS, len(spots) // _BLOCK)]]
    # Of equally near centres the first.
    return np.asarray((cdist(spots, centres) + 1e-6 * np.arange(len(centres))).argmin(axis=1) % FOLDS)


def _shuffled(values: Float32) -> Index:
    """Random number of every spot, each from 0 to n - 1 once.

    Drawn by total value: neither the order in which spots come nor a turn of the section matters.
    """
    lot = np.empty(len(values), np.intp)
    order = np.argsort(values.sum(axis=1, dtype=np.float64), kind="stable")
    lot[order] = np.random.default_rng(0).permutation(len(values))
    return lot


def _simplex(square: Float64, cross: Float64) -> tuple[float, float, float, float, float]:
    """Least squares w'Aw - 2b'w under w >= 0 and sum(w) = 1, the latter by a heavy row."""
    root = np.linalg.cholesky(square + 1e-9 * np.trace(square) * np.eye(len(square)))
    heavy = 1e3 * np.sqrt(np.trace(square))
    weights, _ = nnls(np.vstack([root.T, np.full(len(square), heavy)]), np.append(np.linalg.solve(root, cross), heavy))
    single, few, many, profiles, two = (float(weight) for weight in weights / weights.sum())
    return single, few, many, profiles, two
