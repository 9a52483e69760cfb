"""State kriging: a Gaussian process over the expected expression state of a site, wherever it lies.

What PCA kriging expects at a site, its state, says what kind of tissue is there. Genes depend on the kind of tissue in
non-linear ways, and distant spots of the same kind are informative. So every gene is kriged once more, with distances
between expected states in place of distances in space. The state of a spot is the one expected from all other spots, as
for an unmeasured site.
"""

from typing import Final

import numpy as np
from scipy.spatial.distance import pdist

from ._kernels import Kernel
from ._kriging import Kriging, Settings
from ._pca_kriging import PCAKriging
from ._types import Float, Float32, Float64

__all__ = ["StateKriging"]

_LENGTH = 2.0  # in median distances between states
_NUGGETS: Final = tuple(2.0**power for power in range(-6, 11))
_MAX_PAIRED = 500


class StateKriging:
    """Gaussian processes over expected expression states, one for each gene.

    Parameters
    ----------
    components
        The components and their maps.
    """

    def __init__(self, components: PCAKriging) -> None:
        kriging, scale = components.kriging, components.strength
        at_spots, at_sites = components.kriged.loo * scale, components.kriged.sites * scale
        kernel = Kernel("matern32", _LENGTH * _typical_distance(at_spots))
        self._kriging = Kriging(
            kriging.spots,
            kriging.sites,
            noise_weights=kriging.noise_weights,
            places=(at_spots, at_sites),
            kernels=[kernel],
            nuggets=_NUGGETS,
        )

    def tune(self, values: Float) -> Settings:
        """Nuggets of a block of genes, (n, n_genes)."""
        return self._kriging.tune(values)

    def maps(self, values: Float, settings: Settings | None = None) -> list[Float32]:
        """Predict genes (n, n_genes), (m, n_genes); nuggets are chosen unless given."""
        return self._kriging.maps(values, settings)


def _typical_distance(profiles: Float64) -> float:
    some = profiles[np.linspace(0, len(profiles) - 1, min(len(profiles), _MAX_PAIRED)).round().astype(int)]
    return max(float(np.median(pdist(some))) if len(some) > 1 else 0.0, 1e-6)
