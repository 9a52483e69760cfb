"""Co-kriging: genes are combined into components first, and the components are interpolated."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from ._kriging import Kriged, Kriging
from ._types import Float, Float32, Float64

__all__ = ["CoKriged", "CoKriging"]


@dataclass(frozen=True)
class CoKriged:
    """Co-kriging of a block of genes, and the kriging that it is averaged with.

    Attributes
    ----------
    sites
        (m, n_genes) the answer: mean of the two maps below.
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


class CoKriging:
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
        self.kriging = kriging
        self.scores = _principal_scores(np.asarray(informative, np.float64), n_components)
        scores = self.scores.astype(np.float32)
        self.kriged = kriging.predict(scores, kriging.choose(scores, kriging.kernels))

    def predict(self, values: Float) -> CoKriged:
        """Co-krige a block of genes, (n, n_genes)."""
        single = self.kriging.predict(values)
        values = np.asarray(values, np.float32)
        mean = values.mean(axis=0, dtype=np.float64)
        loadings = (self.scores.T @ (values - mean)).astype(np.float32)
        mean = mean.astype(np.float32)
        components = self.kriged.sites @ loadings + mean
        loo = (self.kriged.loo @ loadings + mean + single.loo) / 2
        error = np.square(values - loo, dtype=np.float64).mean(axis=0)
        return CoKriged((components + single.sites) / 2, loo, error, components, single)


def _principal_scores(values: Float64, n_components: int) -> Float64:
    """Orthonormal scores of the spots, (n, at most n_components), strongest first, signs fixed."""
    if not values.shape[1]:
        return np.empty((len(values), 0))
    left, strength, right = svd(values - values.mean(axis=0), full_matrices=False, check_finite=False)
    keep = min(n_components, int(np.sum(strength > 1e-6 * strength.max(initial=1e-30))))
    leading = np.abs(right[:keep]).argmax(axis=1)
    scores: Float64 = left[:, :keep] * np.sign(right[np.arange(keep), leading])
    return scores
