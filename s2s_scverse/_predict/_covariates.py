"""Kriging with covariates that are known at every site, such as image features.

Distances are computed over space (or expected expression states) and covariates together. Principal components are
kriged with such distances and projected back to genes; genes are also kriged individually, since their dependence on
the covariates differs. Each covariate is scaled by the root of the variance of the components that it explains
linearly, so that irrelevant covariates have little influence.
"""

from copy import copy
from typing import Final

import numpy as np

from ._arrays import Float, Float32, Float64
from ._external_drift import ExternalDrift
from ._factor import Kernel
from ._kriging import Kriging, Settings
from ._pca_kriging import PCAKriging
from ._state_kriging import typical_distance

__all__ = ["CovariateKriging"]

_KERNEL = Kernel("exponential", 4.0)  # in median distances between covariates
_NUGGETS: Final = tuple(2.0**power for power in range(-6, 11))
_COMPONENTS = 10
_DISTANCES: Final = (2.0, 4.0)  # spot spacings equivalent to a median distance between covariates
_LEAST = 1e-4  # explained variance of irrelevant covariates


class CovariateKriging:
    """Six predictors with covariates `at_spots` (n, k) and `at_sites` (m, k), standardised over the section.

    Components are kriged over covariates and space (with two relative scales), over covariates and expected expression
    state, and with external drift; single genes over covariates and space, and over covariates and state.
    """

    COUNT: Final = len(_DISTANCES) + 4

    def __init__(self, components: PCAKriging, at_spots: Float64, at_sites: Float64) -> None:
        kriging, few = components.kriging, components.with_components(_COMPONENTS)
        relevance = _relevance(at_spots, components)
        unit = typical_distance(at_spots * relevance)
        covariates = at_spots * (relevance / unit), at_sites * (relevance / unit)
        states = components.at_spots * components.strength, components.at_sites * components.strength
        length = typical_distance(states[0])
        places = [(kriging.spots / distance, kriging.sites / distance) for distance in _DISTANCES]
        places.append((states[0] / length, states[1] / length))
        over: list[Kriging] = [
            Kriging(
                kriging.spots,
                kriging.sites,
                noise_weights=kriging.noise_weights,
                places=(np.hstack([spots, covariates[0]]), np.hstack([sites, covariates[1]])),
                kernels=[_KERNEL],
                nuggets=_NUGGETS,
            )
            for spots, sites in places
        ]
        self._singly = over[-2:]
        over.append(ExternalDrift(kriging, *covariates))
        scores, self._projections = few.scores.astype(np.float32), []
        for each in over:
            projection = copy(few)
            projection.at_sites = each.predict(scores).sites
            self._projections.append(projection)

    def tune(self, values: Float) -> list[Settings]:
        """Choose the nuggets of genes (n, n_genes) over covariates and space, and over covariates and states."""
        return [each.tune(values) for each in self._singly]

    def maps(self, values: Float, settings: list[Settings] | None = None) -> list[Float32]:
        """Predict genes (n, n_genes) by each predictor, (m, n_genes) each."""
        projected = [each.project(values) for each in self._projections]
        own = settings or self.tune(values)
        return projected + [each.predict(values, of).sites for each, of in zip(self._singly, own, strict=True)]


def _relevance(covariates: Float64, components: PCAKriging) -> Float64:
    """Return the root of the fraction of the components' variance that each covariate explains beyond chance, (k,)."""
    weight = components.kriging.noise_weights / components.kriging.noise_weights.sum()
    centred = covariates - weight @ covariates
    scores = components.scores * components.strength
    scores = scores - weight @ scores
    shared = np.square((centred * weight[:, None]).T @ scores).sum(axis=1)
    power = (weight @ np.square(centred)) * (weight @ np.square(scores)).sum()
    explained = np.divide(shared, power, out=np.zeros_like(shared), where=power > 0)
    return np.asarray(np.sqrt(np.maximum(explained - 1 / len(covariates), 0) + _LEAST))
