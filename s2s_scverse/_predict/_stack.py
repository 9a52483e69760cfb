"""Stacking: a non-negative combination of predictors with weights from cross-validation."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.spatial import cKDTree

from ._arrays import Covariates, Float, Float32, Float64
from ._coregionalization import Coregionalization
from ._covariates import CovariateKriging
from ._kriging import Kriging, Settings
from ._pca_kriging import PCAKriging, state_kriging

__all__ = ["MEMBERS", "MIN_STACKED", "REACH", "Stack", "StackingWeights", "farness"]

_FEW, _MANY = 10, 25  # numbers of components of two members: small sections favour few, large ones many
MIN_STACKED: Final = 20  # smallest number of spots for stacking weights; with fewer the stack is PCA kriging
REACH: Final = 1.5  # in spot spacings, largest distance from spots at which the cross-validated weights apply
MEMBERS: Final = ("kriging", "few_components", "many_components", "state_kriging", "coregionalization")
"""Members of a stack; with covariates, those of `CovariateKriging` follow."""


@dataclass(frozen=True)
class StackingWeights:
    """Weights of the members of a stack; the default is PCA kriging."""

    members: tuple[float, ...] = (0.5, 0.0, 0.5, 0.0, 0.0)  # non-negative, sum 1
    far: float = 1.0  # share of the weighted mean far from all spots; the rest is PCA kriging
    unguided: tuple[float, ...] | None = None  # weights without covariates; None if there are no covariates


StackSettings = tuple[Settings, Settings, list[Settings] | None]
"""Kernels and noise ratios of genes for kriging, state kriging and kriging with covariates."""


class Stack:
    """Weighted mean of predictors, with the same weights for all genes.

    Between 1.5 and 3 spot spacings from the nearest spot, it is interpolated linearly to the mixture with PCA kriging
    given by `StackingWeights.far`. Members are fitted to `informative` (n, n_informative): those with weight, or
    all if there are no `weights` from `CrossValidation`.
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
        self.components = PCAKriging(kriging, informative, n_components=_MANY)
        self._few = self.components.with_components(_FEW)
        unweighted = weights is None
        self._state = state_kriging(self.components) if unweighted or len(kriging.spots) >= MIN_STACKED else None
        self._coregionalization = self._guided = None
        at = MEMBERS.index("coregionalization")
        if unweighted or self.weights.members[at] or (self.weights.unguided or self.weights.members)[at]:
            weight = kriging.noise_weights
            self._coregionalization = Coregionalization(kriging.spots, kriging.sites, informative, noise_weights=weight)
        if covariates is not None and (unweighted or any(self.weights.members[len(MEMBERS) :])):
            self._guided = CovariateKriging(self.components, *covariates)
        self._far = farness(kriging)[:, None].astype(np.float32)

    def tune(self, values: Float) -> StackSettings:
        """Choose kernels and noise ratios of genes (n, n_genes)."""
        kriging = self.components.tune(values)
        states = kriging if self._state is None else self._state.tune(values)
        return kriging, states, None if self._guided is None else self._guided.tune(values)

    def maps(self, values: Float, settings: StackSettings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes): the stack, PCA kriging, kriging and state kriging, (m, n_genes) each."""
        members, pca = self.members(values, settings)
        kriging, state = (members[MEMBERS.index(name)] for name in ("kriging", "state_kriging"))
        return [self.combine(members, pca), pca, kriging, state]

    def members(self, values: Float, settings: StackSettings | None = None) -> tuple[list[Any], Float32]:
        """Predict genes (n, n_genes) by each member (None without weight) and by PCA kriging, (m, n_genes) each."""
        kriging, states, guided = settings or (None, None, None)
        pca, components, single = self.components.maps(values, kriging)
        state = components if self._state is None else self._state.maps(values, states)[0]
        coregionalized = None if self._coregionalization is None else self._coregionalization.maps(values)[0]
        with_covariates = [] if self._guided is None else self._guided.maps(values, guided)
        # In the order of MEMBERS.
        return [single, self._few.project(values), components, state, coregionalized, *with_covariates], pca

    def combine(self, members: list[Any], pca: Float32, weights: tuple[float, ...] | None = None) -> Float32:
        """Return the weighted mean of members, (m, n_genes); `weights` replace those of the stack."""
        result = np.zeros_like(pca)
        for weight, member in zip(weights or self.weights.members, members, strict=False):
            if weight and member is not None:
                result += np.float32(weight) * member
        if self.weights.far < 1:
            result += np.float32(1 - self.weights.far) * self._far * (pca - result)
        return result


def farness(kriging: Kriging) -> Float64:
    """Return the distance of sites from all spots, (m,), rescaled to 0 within `REACH` and 1 beyond twice that."""
    distance = np.asarray(cKDTree(kriging.spots).query(kriging.sites)[0])
    return np.clip(distance / REACH - 1, 0, 1)
