"""Starting maps of the cascade: the visible spots are all that is ever looked at."""

import numpy as np
from numpy.typing import NDArray

from .._interpolation import NUGGETS, Blend, CoKriging, Kriging, Weights, blend_weights, interpolate
from .._lattice import Lattice
from ._config import Start

__all__ = ["KINDS", "StartingMaps", "Weights", "find_nuggets", "find_weights"]

KINDS: dict[Start, int] = {"nearest": 1, "kriging": 1, "cokriging": 3, "blend": 4}
"""Number of maps that each start gives."""


def find_weights(
    start: Start,
    lattice: Lattice,
    visible: NDArray[np.bool_],
    informative: NDArray[np.float32],
    precision: NDArray[np.float64] | None,
) -> Weights | None:
    """Work out the weights of a blend, once for all subsamples of a section."""
    if start != "blend":
        return None
    sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
    return blend_weights(Kriging(sites[visible], sites, precision=precision), informative)


def find_nuggets(lattice: Lattice, visible: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variance of the noise over that of the signal of genes (n_visible, n_genes), as kriging chooses it."""
    sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
    return np.asarray(NUGGETS)[Kriging(sites[visible], sites[:0]).choose(values).nugget]


class StartingMaps:
    """Maps of any number of genes over one lattice, from one set of visible spots.

    Parameters
    ----------
    start
        ``"nearest"``: the nearest visible spot; ``"kriging"``: every map by itself; ``"cokriging"``: with components
        shared between genes; ``"blend"``: a weighted mean of these and of others, see :class:`Blend`.
    lattice
        All sites.
    visible
        (n_sites,): the spots.
    informative
        (n_visible, n_informative): values that the shared components are made of; None for maps that share nothing.
    weights
        Of a blend, from :func:`find_weights`.
    precision
        (n_visible,): how much the value of each spot says; the same for all by default.
    """

    def __init__(
        self,
        start: Start,
        lattice: Lattice,
        visible: NDArray[np.bool_],
        informative: NDArray[np.float32] | None,
        weights: Weights | None = None,
        precision: NDArray[np.float64] | None = None,
    ) -> None:
        self._n_kinds = KINDS[start]
        self._sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
        self._spots = self._sites[visible]
        self._kriging: Kriging | None = None
        self._shared: CoKriging | Blend | None = None
        if start == "nearest":
            return
        self._kriging = Kriging(self._spots, self._sites, precision=precision)
        if informative is not None and start == "cokriging":
            self._shared = CoKriging(self._kriging, informative)
        elif informative is not None and start == "blend":
            self._shared = Blend(self._kriging, informative, weights=weights)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the maps of a block.

        Parameters
        ----------
        values
            (n_visible, n_maps).

        Returns
        -------
        (n_kinds, n_maps, n_sites): the starting map and, where it shares components, further maps that it is made of.
        """
        return np.stack([kind.T for kind in self._kinds(values)])

    def _kinds(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        if isinstance(self._shared, Blend):
            blended = self._shared.predict(values)
            return [blended.sites, blended.cokriging, blended.kriging, blended.profiles]
        if isinstance(self._shared, CoKriging):
            cokriged = self._shared.predict(values)
            return [cokriged.sites, cokriged.components, cokriged.kriging.sites]
        if self._kriging is not None:
            return [self._kriging.predict(values).sites] * self._n_kinds
        return [interpolate("nearest", self._spots, values, self._sites)]
