"""The best linear answer: a mean of several, with weights from what they predict of hidden spots."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

from ._cokriging import CoKriging
from ._kriging import Kriging
from ._two_covariances import TwoCovariances
from ._types import Float, Float32, Float64, Index

__all__ = ["Blend", "Blended", "blend_weights"]

_FEW, _MANY = 10, 25  # components: few for small sections, many for large ones
_FOLDS = 5
_SMALLEST = 4 * _FOLDS  # spots; with fewer the weights are not worth the name
_COKRIGING: Final = (0.5, 0.0, 0.5, 0.0)


@dataclass(frozen=True)
class Blended:
    """A block of genes.

    Attributes
    ----------
    sites
        (m, n_genes) the answer.
    kriging, cokriging
        (m, n_genes) what `Kriging` and `CoKriging` say.
    """

    sites: Float32
    kriging: Float32
    cokriging: Float32


class Blend:
    """Weighted mean of kriging, components (10 and 25) and `TwoCovariances`, the same weights for all genes.

    Parameters
    ----------
    kriging
        The spots and the sites.
    informative
        (n, n_informative) values to fit everything to, as for `CoKriging`.
    weights
        From `blend_weights`, to use them on other spots of the same section; worked out here unless given.
    """

    def __init__(
        self, kriging: Kriging, informative: Float, *, weights: tuple[float, float, float, float] | None = None
    ) -> None:
        self.weights = weights or blend_weights(kriging, informative)
        self._many = CoKriging(kriging, informative, n_components=_MANY)
        self._few = self._many.with_components(_FEW)
        self._two = None
        if self.weights[3] > 0:
            self._two = TwoCovariances(kriging.spots, kriging.sites, informative)

    def predict(self, values: Float) -> Blended:
        """Predict a block of genes, (n, n_genes)."""
        found = self._many.predict(values)
        single, few, many, two = self.weights
        sites = single * found.kriging.sites + few * self._few.project(values) + many * found.components
        if self._two is not None:
            sites += two * self._two.predict(values)
        return Blended(sites.astype(np.float32, copy=False), found.kriging.sites, found.sites)


def blend_weights(kriging: Kriging, informative: Float, *, max_spots: int = 1500) -> tuple[float, float, float, float]:
    """Weights of kriging, 10 components, 25 components and two covariances, none negative, 1 in all.

    Five times, a fifth of the spots is hidden and predicted with everything fitted to the others; the weights are those
    with the smallest squared error, each gene in units of its own variance. With less than 20 spots the weights are
    those of co-kriging. Large sections are judged by about `max_spots` spots.
    """
    values = np.asarray(informative, np.float32)
    values = values[:, np.ptp(values, axis=0) > 0]
    chosen = kriging.sample(max_spots)
    spots, values = kriging.spots[chosen], values[chosen]
    if len(spots) < _SMALLEST or not values.shape[1]:
        return _COKRIGING
    scale = np.maximum(values.std(axis=0), 1e-6)
    square, cross = np.zeros((4, 4)), np.zeros(4)
    fold = _folds(values)
    for number in range(_FOLDS):
        hidden = fold == number
        maps = _candidates(spots[~hidden], values[~hidden], spots[hidden]) / scale
        flat = maps.reshape(4, -1).astype(np.float64)
        square += flat @ flat.T
        cross += flat @ (values[hidden] / scale).ravel()
    return _simplex(square, cross)


def _candidates(spots: Float64, values: Float32, sites: Float64) -> Float32:
    many = CoKriging(Kriging(spots, sites), values, n_components=_MANY)
    found = many.predict(values)
    few = many.with_components(_FEW).project(values)
    return np.stack([found.kriging.sites, few, found.components, TwoCovariances(spots, sites, values).predict(values)])


def _folds(values: Float32) -> Index:
    # By total value: neither the order in which spots come nor a turn of the section must matter.
    rank = np.empty(len(values), np.intp)
    order = np.argsort(values.sum(axis=1, dtype=np.float64), kind="stable")
    rank[order] = np.random.default_rng(0).permutation(len(values))
    return rank % _FOLDS


def _simplex(square: Float64, cross: Float64) -> tuple[float, float, float, float]:
    """Least squares w'Aw - 2b'w under w >= 0 and sum(w) = 1, the latter by a heavy row."""
    root = np.linalg.cholesky(square + 1e-9 * np.trace(square) * np.eye(len(square)))
    heavy = 1e3 * np.sqrt(np.trace(square))
    weights, _ = nnls(np.vstack([root.T, np.full(len(square), heavy)]), np.append(np.linalg.solve(root, cross), heavy))
    single, few, many, two = (float(weight) for weight in weights / weights.sum())
    return single, few, many, two
