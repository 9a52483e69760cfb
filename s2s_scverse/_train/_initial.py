"""Initial estimates of the cascade: maps from the visible spots alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .._lattice import Lattice
from .._predict import NUGGETS, Kriging, StackingWeights, fit
from ._config import Initial

__all__ = ["N_MAPS", "InitialEstimate", "find_noise_ratios"]

N_MAPS: Final[dict[Initial, int]] = {"nearest": 1, "kriging": 1, "pca_kriging": 3, "stack": 4}
"""Maps that each method gives: the estimate, then those that it is made of."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class InitialEstimate:
    """How maps of genes, and of natural images, are estimated from visible spots.

    Attributes
    ----------
    method
        Key of `N_MAPS`.
    spread
        (n_genes,) of the genes before they were standardised.
    stacking
        Weights of the stack.
    """

    method: Initial
    spread: Float32
    stacking: StackingWeights | None

    def genes(self, lattice: Lattice, visible: Bool, values: Float32, noise_weights: Float64 | None) -> Float32:
        """Estimate genes (n_visible, n_genes) at all sites of a lattice, (n_maps, n_genes, n_sites)."""
        # Components of standardised genes would be made of noise as much as of signal.
        informative, sites = values * self.spread, lattice.unit_coordinates / lattice.spot_pitch(visible)
        predictor = fit(
            self.method,
            sites[visible],
            sites,
            informative,
            noise_weights=noise_weights,
            stacking=self.stacking,
        )
        return np.stack([each.T for each in predictor.maps(values)])

    def images(self, lattice: Lattice, visible: Bool, values: Float32) -> Float32:
        """Estimate natural images, which share nothing: as many equal maps, (n_maps, n_images, n_sites)."""
        sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
        predictor = fit("nearest" if self.method == "nearest" else "kriging", sites[visible], sites)
        return np.stack([predictor.maps(values)[0].T] * N_MAPS[self.method])


def find_noise_ratios(lattice: Lattice, visible: Bool, values: Float32) -> Float64:
    """Variance of the noise over that of the signal of genes (n_visible, n_genes), as kriging chooses it."""
    sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
    return np.asarray(NUGGETS)[Kriging(sites[visible], sites[:0]).tune(values).nugget]
