"""Starting maps of the cascade: the visible spots are all that is ever looked at."""

import numpy as np
from numpy.typing import NDArray

from .._interpolation import CoKriging, Kriging, interpolate
from .._lattice import Lattice
from ._config import Start

__all__ = ["StartingMaps"]

KINDS: dict[Start, int] = {"nearest": 1, "kriging": 1, "cokriging": 3}


class StartingMaps:
    """Maps of any number of genes over one lattice, from one set of visible spots.

    Parameters
    ----------
    start
        ``"nearest"``: the nearest visible spot; ``"kriging"``: every map by itself; ``"cokriging"``: with components
        shared between genes.
    lattice
        All sites.
    visible
        (n_sites,): the spots.
    informative
        (n_visible, n_informative): values that the shared components are made of; None for maps that share nothing.
    """

    def __init__(
        self,
        start: Start,
        lattice: Lattice,
        visible: NDArray[np.bool_],
        informative: NDArray[np.float32] | None,
    ) -> None:
        self.pitch = lattice.spot_pitch(visible)
        self.n_kinds = KINDS[start]
        self._sites = lattice.unit_coordinates / self.pitch
        self._spots = self._sites[visible]
        self._kriging = None if start == "nearest" else Kriging(self._spots, self._sites)
        self._cokriging = None
        if start == "cokriging" and self._kriging is not None and informative is not None:
            self._cokriging = CoKriging(self._kriging, informative)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the maps of a block.

        Parameters
        ----------
        values
            (n_visible, n_maps).

        Returns
        -------
        (n_kinds, n_maps, n_sites): the starting map and, for co-kriging, the two maps it is the mean of.
        """
        if self._cokriging is not None:
            found = self._cokriging.predict(values)
            maps = [found.sites, found.components, found.kriging.sites]
        elif self._kriging is not None:
            maps = [self._kriging.predict(values).sites] * self.n_kinds
        else:
            maps = [interpolate("nearest", self._spots, values, self._sites)]
        return np.stack([kind.T for kind in maps])
