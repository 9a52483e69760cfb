"""PCA kriging: principal components of genes are kriged, projected back and averaged with ordinary kriging."""

from copy import copy
from typing import NamedTuple

import numpy as np
from scipy.linalg import svd

from ._arrays import Float, Float32, Float64
from ._factor import kernels_for
from ._kriging import Kriged, Kriging, Settings

__all__ = ["PCAKriging"]


class PCAKriged(NamedTuple):
    """PCA kriging of a block of genes, (m, n_genes): the mean of the two maps that follow."""

    sites: Float32
    components: Float32  # maps of the components, projected back to genes
    kriging: Kriged  # of every gene by itself


class PCAKriging:
    """Principal components of informative genes, kriged one by one, from which any gene is predicted.

    The components are made of `informative` (n, n_informative), all genes of a panel or the most variable few hundred;
    there are fewer than `n_components` if spots or genes are fewer.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, n_components: int = 25) -> None:
        self.kriging = kriging
        self.scores, self.strength = _principal_scores(
            np.asarray(informative, np.float64), kriging.noise_weights, n_components
        )
        scores = self.scores.astype(np.float32)
        self.kriged = kriging.predict(scores, kriging.tune(scores, kernels_for(len(scores), smooth=True)))
        self.at_spots, self.at_sites = self.kriged.loo, self.kriged.sites  # (n, n_components) and (m, n_components)

    def with_components(self, count: int) -> "PCAKriging":
        """The same with the strongest few of its components only."""
        fewer = copy(self)
        fewer.scores, fewer.strength = self.scores[:, :count], self.strength[:count]
        fewer.at_spots, fewer.at_sites = self.at_spots[:, :count], self.at_sites[:, :count]
        return fewer

    def tune(self, values: Float) -> Settings:
        """Kernel and nugget of each of the genes (n, n_genes) by itself."""
        return self.kriging.tune(values)

    def maps(self, values: Float, settings: Settings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes): PCA kriging, the components alone, and kriging, (m, n_genes) each."""
        found = self.predict(values, settings)
        return [found.sites, found.components, found.kriging.sites]

    def predict(self, values: Float, settings: Settings | None = None) -> PCAKriged:
        """Predict a block of genes, (n, n_genes); their own kernels and nuggets are chosen unless given."""
        single, components = self.kriging.predict(values, settings), self.project(values)
        return PCAKriged(np.asarray((components + single.sites) / 2, np.float32), components, single)

    def project(self, values: Float) -> Float32:
        """Maps (m, n_genes) of a block of genes (n, n_genes) from the components alone."""
        mean = np.average(values, axis=0, weights=self.kriging.noise_weights)
        return np.asarray(self.at_sites @ self.loadings(values) + np.asarray(mean, np.float32), np.float32)

    def loadings(self, values: Float) -> Float32:
        """Loadings of genes (n, n_genes) on the components, (n_components, n_genes)."""
        weight = self.kriging.noise_weights
        centred = values - np.average(values, axis=0, weights=weight)
        return np.asarray((self.scores * weight[:, None]).T @ centred, np.float32)


def _principal_scores(values: Float64, weight: Float64, n_components: int) -> tuple[Float64, Float64]:
    """Scores of the spots, (n, at most n_components), orthonormal under the weights, and their strengths, falling."""
    if not values.shape[1]:
        return np.empty((len(values), 0)), np.empty(0)
    root = np.sqrt(weight)[:, None]
    centred = root * (values - np.average(values, axis=0, weights=weight))
    left, strength, right = svd(centred, full_matrices=False, check_finite=False)
    keep = min(n_components, int(np.sum(strength > 1e-6 * strength.max(initial=1e-30))))
    leading = np.abs(right[:keep]).argmax(axis=1)
    scores: Float64 = left[:, :keep] / root * np.sign(right[np.arange(keep), leading])
    return scores, strength[:keep]
