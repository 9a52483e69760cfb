"""State kriging: a Gaussian process over the expected expression state of a site, wherever it lies.

What PCA kriging expects at a site, its state, says what kind of tissue is there. Genes depend on the kind of tissue in
non-linear ways, and distant spots of the same kind are informative. So every gene is kriged once more, with distances
between expected states in place of distances in space. The state of a spot is the one expected from all other spots, as
for an unmeasured site.
"""

from typing import Final

import numpy as np
from scipy.spatial.distance import pdist

from ._arrays import Float64
from ._factor import Kernel
from ._kriging import Kriging
from ._pca_kriging import PCAKriging

__all__ = ["StateKriging", "typical_distance"]

_LENGTH = 2.0  # in median distances between states
_NUGGETS: Final = tuple(2.0**power for power in range(-6, 11))
_MAX_PAIRED = 500


class StateKriging(Kriging):
    """Gaussian processes over expected expression states, one for each gene."""

    def __init__(self, components: PCAKriging) -> None:
        kriging, scale = components.kriging, components.strength
        states = components.at_spots * scale, components.at_sites * scale
        super().__init__(
            kriging.spots,
            kriging.sites,
            noise_weights=kriging.noise_weights,
            places=states,
            kernels=[Kernel("matern32", _LENGTH * typical_distance(states[0]))],
            nuggets=_NUGGETS,
        )


def typical_distance(states: Float64) -> float:
    """Median distance between states (n, n_dimensions)."""
    some = states[np.linspace(0, len(states) - 1, min(len(states), _MAX_PAIRED)).round().astype(int)]
    return max(float(np.median(pdist(some))) if len(some) > 1 else 0.0, 1e-6)
