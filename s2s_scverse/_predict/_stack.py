"""Stacking: a non-negative combination of predictors, with weights from cross-validation."""

from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.spatial import cKDTree

from ._arrays import Covariates, Float, Float32, Float64
from ._coregionalization import Coregionalization
from ._covariates import CovariateKriging
from ._kriging import Kriging, Settings
from ._pca_kriging import PCAKriging
from ._state_kriging import StateKriging

__all__ = ["MIN_SPOTS", "REACH", "Stack", "StackingWeights", "farness"]

_FEW, _MANY = 10, 25  # components of the two members: few suit small sections, many suit large ones
MIN_SPOTS: Final = 20  # with fewer spots the stack is PCA kriging: weights would be noise
REACH: Final = 1.5  # in spot spacings: largest distance from spots at which the cross-validated weights apply


@dataclass(frozen=True)
class StackingWeights:
    """Weights of the members of a stack."""

    members: tuple[float, ...] = (0.5, 0.0, 0.5, 0.0, 0.0)
    """Of kriging, PCA kriging (10 and 25 components), state kriging and coregionalization, and of the six predictors
    with covariates if there are any; non-negative, sum 1."""
    far: float = 1.0  # share of this mean far from all spots; the rest is PCA kriging
    unguided: tuple[float, ...] | None = None
    """What `members` would be without covariates; None if there are none."""


StackSettings = tuple[Settings, Settings, list[Settings] | None]
"""Kernel and nugget of every gene, for kriging, for state kriging and for kriging with covariates."""


class Stack:
    """Weighted mean of predictors, with the same weights for all genes.

    Interpolated linearly to the mixture of `StackingWeights.far` between 1.5 and 3 spot spacings from the nearest spot.
    All members are fitted to `informative` (n, n_informative). Without `weights`, which are those of
    :meth:`CrossValidation.stacking_weights`, all members are fitted and combined as in PCA kriging.
    """

    def __init__(
        self,
        kriging: Kriging,
        informative: Float,
        *,
        weights: StackingWeights | None = None,
        covariates: Covariates | None = None,
    ) -> None:
        self.weights = weights or StackingWeights()
        self._many = PCAKriging(kriging, informative, n_components=_MANY)
        self._few = self._many.with_components(_FEW)
        unweighted = weights is None
        self._state = StateKriging(self._many) if unweighted or len(kriging.spots) >= MIN_SPOTS else None
        self._coregionalization: Coregionalization | None = None
        if unweighted or self.weights.members[4] + (self.weights.unguided or self.weights.members)[4] > 0:
            self._coregionalization = Coregionalization(
                kriging.spots, kriging.sites, informative, noise_weights=kriging.noise_weights
            )
        self._guided: CovariateKriging | None = None
        if covariates is not None and (unweighted or any(self.weights.members[5:])):
            self._guided = CovariateKriging(self._many, *covariates)
        self._far = farness(kriging)[:, None].astype(np.float32)

    def tune(self, values: Float) -> StackSettings:
        """Kernels and nuggets of a block of genes, (n, n_genes)."""
        kriging = self._many.tune(values)
        states = kriging if self._state is None else self._state.tune(values)
        return kriging, states, None if self._guided is None else self._guided.tune(values)

    def maps(self, values: Float, settings: StackSettings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes): the stack, PCA kriging, kriging and state kriging, (m, n_genes) each."""
        members, pca = self.members(values, settings)
        return [self.combine(members, pca), pca, members[0], members[3]]

    def members(self, values: Float, settings: StackSettings | None = None) -> tuple[list[Any], Float32]:
        """Maps (m, n_genes) of the members, None of those without weight, and of PCA kriging."""
        kriging, states, guided = settings or (None, None, None)
        kriged = self._many.predict(values, kriging)
        state = kriged.components if self._state is None else self._state.maps(values, states)[0]
        members: list[Any] = [kriged.kriging.sites, self._few.project(values), kriged.components, state]
        members += [None] if self._coregionalization is None else self._coregionalization.maps(values)
        members += [] if self._guided is None else self._guided.maps(values, guided)
        return members, kriged.sites

    def combine(self, members: list[Any], pca: Float32, weights: tuple[float, ...] | None = None) -> Float32:
        """Weighted mean of members, (m, n_genes), with other weights than its own if these are given."""
        result = np.zeros_like(pca)
        for weight, member in zip(weights or self.weights.members, members, strict=False):
            if weight and member is not None:
                result += np.float32(weight) * member
        if self.weights.far < 1:
            result += np.float32(1 - self.weights.far) * self._far * (pca - result)
        return result

    def with_weights(self, weights: StackingWeights) -> "Stack":
        """The same members with other weights."""
        other = copy(self)
        other.weights = weights
        return other


def farness(kriging: Kriging) -> Float64:
    """Distance of sites from all spots, (m,), rescaled: 0 within `REACH`, 1 beyond twice that."""
    distance = np.asarray(cKDTree(kriging.spots).query(kriging.sites)[0])
    return np.clip(distance / REACH - 1, 0, 1)
