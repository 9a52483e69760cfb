"""Kriging between sites that are expected to express alike, wherever they lie.

What co-kriging expects at a site, its profile of components, says what kind of tissue is there. Genes depend on the
kind of tissue in ways that are not linear, and far-away spots of the same kind know about them. So every gene is kriged
once more, with distances between expected profiles in the place of distances in space. The profile of a spot is what is
expected there from all other spots, as that of an unmeasured site is: the value of the spot itself is no part of it.
"""

from typing import Final

import numpy as np
from scipy.spatial.distance import pdist

from ._cokriging import CoKriging
from ._kernels import Kernel
from ._kriging import Kriging, Settings
from ._types import Float, Float32, Float64

__all__ = ["Profiles"]

_LENGTH = 2.0  # in median distances between profiles
_NUGGETS: Final = tuple(2.0**power for power in range(-6, 11))
_MAX_PAIRED = 500


class Profiles:
    """Gaussian processes over expected profiles, one for each gene.

    Parameters
    ----------
    components
        The components and their maps.
    """

    def __init__(self, components: CoKriging) -> None:
        kriging, scale = components.kriging, components.strength
        at_spots, at_sites = components.kriged.loo * scale, components.kriged.sites * scale
        kernel = Kernel("matern32", _LENGTH * _typical_distance(at_spots))
        self._kriging = Kriging(
            kriging.spots,
            kriging.sites,
            precision=kriging.precision,
            places=(at_spots, at_sites),
            kernels=[kernel],
            nuggets=_NUGGETS,
        )

    def choose(self, values: Float) -> Settings:
        """Nuggets of a block of genes, (n, n_genes)."""
        return self._kriging.choose(values)

    def predict(self, values: Float, settings: Settings | None = None) -> Float32:
        """Maps (m, n_genes) of a block of genes (n, n_genes); nuggets are chosen unless given."""
        return self._kriging.predict(values, settings).sites


def _typical_distance(profiles: Float64) -> float:
    some = profiles[np.linspace(0, len(profiles) - 1, min(len(profiles), _MAX_PAIRED)).round().astype(int)]
    return max(float(np.median(pdist(some))) if len(some) > 1 else 0.0, 1e-6)
