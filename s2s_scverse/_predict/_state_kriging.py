"""State kriging: Gaussian processes over the expected expression state of a site.

The state of a site is its vector of kriged principal components (leave-one-out at spots). Genes depend on the state in
non-linear ways, and distant spots of the same tissue are informative, so genes are kriged with distances between states
in place of distances in space.
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
    """Kriging of genes over expected expression states."""

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
    """Return the median distance between states (n, n_dimensions)."""
    some = states[np.linspace(0, len(states) - 1, min(len(states), _MAX_PAIRED)).round().astype(int)]
    return max(float(np.median(pdist(some))) if len(some) > 1 else 0.0, 1e-6)
