"""PCA kriging and state kriging, which depend on kriged principal components of genes."""

from copy import copy
from typing import Final

import numpy as np
from scipy.spatial.distance import pdist

from ._arrays import Float, Float32, Float64
from ._kriging import Kernel, Kriging, Settings, kernels_for

__all__ = ["PCAKriging", "state_kriging", "typical_distance"]

_STATE_LENGTH_SCALE: Final = 2.0  # in median distances between states
_MAX_PAIRED: Final = 500


class PCAKriging:
    """The mean of ordinary kriging and of kriged principal components, projected back to genes.

    The components are those of the genes `informative` (n, n_informative); any gene is predicted from them.
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
        """Return the same predictor with the leading components only."""
        fewer = copy(self)
        fewer.scores, fewer.strength = self.scores[:, :count], self.strength[:count]
        fewer.at_spots, fewer.at_sites = self.at_spots[:, :count], self.at_sites[:, :count]
        return fewer

    def tune(self, values: Float) -> Settings:
        """Choose kernel and noise ratio of the ordinary kriging of each of the genes (n, n_genes)."""
        return self.kriging.tune(values)

    def maps(self, values: Float, settings: Settings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes): PCA kriging, the components alone, and kriging, (m, n_genes) each."""
        components, (single,) = self.project(values), self.kriging.maps(values, settings)
        return [np.asarray((components + single) / 2, np.float32), components, single]

    def project(self, values: Float) -> Float32:
        """Predict genes (n, n_genes) from the components alone, (m, n_genes)."""
        mean = np.average(values, axis=0, weights=self.kriging.noise_weights)
        return np.asarray(self.at_sites @ self.loadings(values) + np.asarray(mean, np.float32), np.float32)

    def loadings(self, values: Float) -> Float32:
        """Return the loadings of genes (n, n_genes) on the components, (n_components, n_genes)."""
        weight = self.kriging.noise_weights
        centred = values - np.average(values, axis=0, weights=weight)
        return np.asarray((self.scores * weight[:, None]).T @ centred, np.float32)


def state_kriging(components: PCAKriging) -> Kriging:
    """Return Gaussian processes over the expected expression state of a site.

    The state of a site is its vector of kriged principal components (leave-one-out at spots). Genes depend on the state
    in non-linear ways, and distant spots of the same tissue are informative, so genes are kriged with distances between
    states in place of distances in space.
    """
    states = components.at_spots * components.strength, components.at_sites * components.strength
    return components.kriging.over(states, Kernel("matern32", _STATE_LENGTH_SCALE * typical_distance(states[0])))


def typical_distance(states: Float64) -> float:
    """Return the median distance between states (n, n_dimensions)."""
    some = states[np.linspace(0, len(states) - 1, min(len(states), _MAX_PAIRED)).round().astype(int)]
    return max(float(np.median(pdist(some))) if len(some) > 1 else 0.0, 1e-6)


def _principal_scores(values: Float64, weight: Float64, n_components: int) -> tuple[Float64, Float64]:
    """Return scores (n, at most n_components), orthonormal under the weights, and singular values, decreasing."""
    if not values.shape[1]:
        return np.empty((len(values), 0)), np.empty(0)
    root = np.sqrt(weight)[:, None]
    centred = root * (values - np.average(values, axis=0, weights=weight))
    left, strength, right = np.linalg.svd(centred, full_matrices=False)
    keep = min(n_components, int(np.sum(strength > 1e-6 * strength.max(initial=1e-30))))
    leading = np.abs(right[:keep]).argmax(axis=1)
    scores: Float64 = left[:, :keep] / root * np.sign(right[np.arange(keep), leading])
    return scores, strength[:keep]
