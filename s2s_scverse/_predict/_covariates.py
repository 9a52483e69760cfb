"""Kriging with covariates that are known at every site, such as image features: as external drift, or as distances.

Each covariate is scaled by the root of the variance of the components that it explains linearly, so that irrelevant
covariates have little influence.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Final

import numpy as np

from ._arrays import Float, Float32, Float64, as_float32
from ._kriging import Kernel, Kriged, Kriging, Settings
from ._pca_kriging import PCAKriging, typical_distance

_KERNEL = Kernel("exponential", 4.0)  # in median distances between covariates
_COMPONENTS = 10
_DISTANCES: Final = (2.0, 4.0)  # spot spacings equivalent to a median distance between covariates
_LEAST = 1e-4  # explained variance of irrelevant covariates
_PENALTIES: Final = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # relative to the sum of squares of a standardised covariate


class ExternalDrift(Kriging):
    """Kriging with a drift that is linear in standardised covariates `at_spots` (n, k) and `at_sites` (m, k).

    The ridge penalty of each gene (possibly infinite) minimises the leave-one-out error of the regression, which uses
    the noise weights of `kriging`; residuals are kriged with the factors of `kriging` :cite:p:`chiles2012`.
    """

    def __init__(self, kriging: Kriging, at_spots: Float64, at_sites: Float64) -> None:
        self.__dict__.update(vars(kriging))
        weight = self.noise_weights / self.noise_weights.sum()
        middle = weight @ at_spots
        root = np.sqrt(weight)[:, None]
        left, strength, right = np.linalg.svd(root * (at_spots - middle), full_matrices=False)
        self._root, self._left, self._strength = root, left, strength
        self._basis = ((at_sites - middle) @ right.T).astype(np.float64)

    def tune(self, values: Float, kernels: Sequence[Kernel] | None = None) -> Settings:
        """Choose kernel and noise ratio of the residuals of each of the genes (n, n_genes)."""
        return super().tune(self._drift(values)[0], kernels)

    def predict(self, values: Float, settings: Settings | None = None) -> Kriged:
        """Krige genes (n, n_genes); kernels and noise ratios are chosen unless given."""
        residual, drift, drift_loo = self._drift(values)
        kriged = super().predict(residual, settings)
        return replace(kriged, sites=kriged.sites + drift, loo=kriged.loo + drift_loo)

    def _drift(self, values: Float) -> tuple[Float32, Float32, Float32]:
        """Return residuals (n, n_genes), and the drift at the sites (m, n_genes) and leave-one-out (n, n_genes)."""
        values = as_float32(values)
        mean = np.square(self._root).T @ values
        centred = self._root * (values - mean)
        rotated = self._left.T @ centred
        error, best = np.square(centred).sum(axis=0), np.zeros((len(rotated), values.shape[1]))
        drift_loo = np.zeros(values.shape)
        for penalty in _PENALTIES:
            share = np.square(self._strength) / (np.square(self._strength) + penalty)
            residual = centred - self._left @ (share[:, None] * rotated)
            loo = residual / (1 - np.square(self._left) @ share)[:, None]
            found = np.square(loo).sum(axis=0)
            better = found < error
            error = np.where(better, found, error)
            best[:, better] = (share / np.maximum(self._strength, 1e-12))[:, None] * rotated[:, better]
            drift_loo[:, better] = ((centred - loo) / self._root)[:, better]
        fitted = (self._left * self._strength) @ best / self._root
        return as_float32(values - fitted), as_float32(self._basis @ best), as_float32(drift_loo)


class CovariateKriging:
    """Six predictors with covariates `at_spots` (n, k) and `at_sites` (m, k), standardised over the section.

    Components are kriged over covariates and space (with two relative scales), over covariates and expected expression
    state, and with external drift; single genes over covariates and space, and over covariates and state.
    """

    def __init__(self, components: PCAKriging, at_spots: Float64, at_sites: Float64) -> None:
        kriging, few = components.kriging, components.with_components(_COMPONENTS)
        relevance = _relevance(at_spots, components)
        unit = typical_distance(at_spots * relevance)
        covariates = at_spots * (relevance / unit), at_sites * (relevance / unit)
        states = components.at_spots * components.strength, components.at_sites * components.strength
        typical = typical_distance(states[0])
        places = [(kriging.spots / distance, kriging.sites / distance) for distance in _DISTANCES]
        places.append((states[0] / typical, states[1] / typical))
        both = [(np.hstack([spots, covariates[0]]), np.hstack([sites, covariates[1]])) for spots, sites in places]
        over = [kriging.over(each, _KERNEL) for each in both]
        self._singly = over[-2:]
        over.append(ExternalDrift(kriging, *covariates))
        scores, self._projections = few.scores.astype(np.float32), []
        for each in over:
            projection = copy(few)
            projection.at_sites = each.predict(scores).sites
            self._projections.append(projection)

    def tune(self, values: Float) -> list[Settings]:
        """Choose the noise ratios of genes (n, n_genes) over covariates and space, and over covariates and states."""
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
