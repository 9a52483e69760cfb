"""Kriging with external drift: a ridge regression on covariates, whose residuals are kriged."""

from dataclasses import replace
from typing import Final

import numpy as np

from ._arrays import Float, Float32, Float64, as_float32
from ._kriging import Kriged, Kriging, Settings

__all__ = ["ExternalDrift"]

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

    def tune(self, values: Float, kernels: object = None) -> Settings:
        """Choose kernel and nugget of the residuals of each of the genes (n, n_genes)."""
        return super().tune(self._drift(values)[0], kernels)  # type: ignore[arg-type]

    def predict(self, values: Float, settings: Settings | None = None) -> Kriged:
        """Krige genes (n, n_genes); kernels and nuggets are chosen unless given."""
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
        return tuple(each.astype(np.float32) for each in (values - fitted, self._basis @ best, drift_loo))  # type: ignore[return-value]
