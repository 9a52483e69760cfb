"""PCA kriging: principal components of genes are kriged, projected back and averaged with ordinary kriging."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from ._kernels import kernels_for
from ._kriging import Kriged, Kriging, Settings
from ._types import Float, Float32, Float64

__all__ = ["PCAKriged", "PCAKriging"]


@dataclass(frozen=True)
class PCAKriged:
    """PCA kriging of a block of genes, and the ordinary kriging that it is averaged with.

    Attributes
    ----------
    sites
        (m, n_genes) the result: mean of the two maps below.
    loo
        (n, n_genes) prediction at every spot from all other spots, for given components and loadings.
    loo_error
        (n_genes,) mean squared error of `loo`.
    components
        (m, n_genes) the maps of the components projected back to genes.
    kriging
        Kriging of every gene by itself.
    """

    sites: Float32
    loo: Float32
    loo_error: Float64
    components: Float32
    kriging: Kriged


class PCAKriging:
    """Principal components of informative genes, kriged one by one, from which any gene is predicted.

    Parameters
    ----------
    kriging
        The spots and the sites.
    informative
        (n, n_informative) values that the components are made of: all genes of a panel, or the most variable few
        hundred.
    n_components
        Number of components, fewer if spots or genes are fewer.
    """

    def __init__(self, kriging: Kriging, informative: Float, *, n_components: int = 25) -> None:
        scores, strength = _principal_scores(np.asarray(informative, np.float64), kriging.noise_weights, n_components)
        values = scores.astype(np.float32)
        settings = kriging.tune(values, kernels_for(len(scores), smooth=True))
        self._set(kriging, scores, strength, kriging.predict(values, settings))

    def _set(self, kriging: Kriging, scores: Float64, strength: Float64, kriged: Kriged) -> None:
        self.kriging, self.scores, self.strength, self.kriged = kriging, scores, strength, kriged

    def with_components(self, count: int) -> "PCAKriging":
        """The same with the strongest few of its components only."""
        fewer, all_ = PCAKriging.__new__(PCAKriging), self.kriged
        settings = Settings(all_.settings.kernel[:count], all_.settings.nugget[:count])
        kriged = Kriged(
            all_.sites[:, :count], all_.loo[:, :count], all_.loo_error[:count], all_.variance[:count], settings
        )
        fewer._set(self.kriging, self.scores[:, :count], self.strength[:count], kriged)
        return fewer

    def tune(self, values: Float) -> Settings:
        """Kernel and nugget of each of the genes (n, n_genes) by itself."""
        return self.kriging.tune(values)

    def maps(self, values: Float, settings: Settings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes): PCA kriging, the components alone, and kriging, (m, n_genes) each."""
        found = self.predict(values, settings)
        return [found.sites, found.components, found.kriging.sites]

    def project(self, values: Float) -> Float32:
        """Maps (m, n_genes) of a block of genes (n, n_genes) from the components alone."""
        mean, loadings = self._regress(values)
        return np.asarray(self.kriged.sites @ loadings + mean, np.float32)

    def predict(self, values: Float, settings: Settings | None = None) -> PCAKriged:
        """Predict a block of genes, (n, n_genes); their own kernels and nuggets are chosen unless given."""
        single = self.kriging.predict(values, settings)
        mean, loadings = self._regress(values)
        components = np.asarray(self.kriged.sites @ loadings + mean, np.float32)
        loo = np.asarray((self.kriged.loo @ loadings + mean + single.loo) / 2, np.float32)
        error = np.square(values - loo, dtype=np.float64).mean(axis=0)
        sites = np.asarray((components + single.sites) / 2, np.float32)
        return PCAKriged(sites, loo, error, components, single)

    def _regress(self, values: Float) -> tuple[Float32, Float32]:
        weight = self.kriging.noise_weights
        mean = np.average(values, axis=0, weights=weight)
        loadings = (self.scores * weight[:, None]).T @ (values - mean)
        return np.asarray(mean, np.float32), np.asarray(loadings, np.float32)


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
