"""Starting maps of the cascade: the visible spots are all that is ever looked at."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .._interpolation import (
    MAX_LEFT_OUT,
    NUGGETS,
    Blend,
    BlendSettings,
    CoKriging,
    Folded,
    Kriging,
    Settings,
    Weights,
    folds,
    interpolate,
)
from .._lattice import Lattice
from ._config import Start

__all__ = ["KINDS", "LeftOut", "MapSettings", "StartingMaps", "Weights", "find_nuggets"]

KINDS: dict[Start, int] = {"nearest": 1, "kriging": 1, "cokriging": 3, "blend": 4}
"""Number of maps that each start gives."""

MapSettings = Settings | BlendSettings | None
"""What starting maps choose for every gene."""


def find_nuggets(lattice: Lattice, visible: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variance of the noise over that of the signal of genes (n_visible, n_genes), as kriging chooses it."""
    sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
    return np.asarray(NUGGETS)[Kriging(sites[visible], sites[:0]).choose(values).nugget]


class StartingMaps:
    """Maps of any number of genes at some sites, from one set of spots.

    Parameters
    ----------
    start
        ``"nearest"``: the nearest visible spot; ``"kriging"``: every map by itself; ``"cokriging"``: with components
        shared between genes; ``"blend"``: a weighted mean of these and of others, see :class:`Blend`.
    spots, sites
        (n_spots, 2) and (n_sites, 2), in spot pitches.
    informative
        (n_spots, n_informative): values that the shared components are made of; None for maps that share nothing.
    weights
        Of a blend, from :class:`LeftOut`.
    precision
        (n_spots,): how much the value of each spot says; the same for all by default.
    seed
        Of the cross-validation folds of a blend without weights.
    """

    def __init__(
        self,
        start: Start,
        spots: NDArray[np.float64],
        sites: NDArray[np.float64],
        informative: NDArray[np.float32] | None,
        weights: Weights | None = None,
        precision: NDArray[np.float64] | None = None,
        seed: int = 0,
    ) -> None:
        self._n_kinds = KINDS[start]
        self._spots, self._sites = spots, sites
        self._kriging: Kriging | None = None
        self._shared: CoKriging | Blend | None = None
        if start == "nearest":
            return
        self._kriging = Kriging(spots, sites, precision=precision)
        if informative is not None and start == "cokriging":
            self._shared = CoKriging(self._kriging, informative)
        elif informative is not None and start == "blend":
            self._shared = Blend(self._kriging, informative, weights=weights, seed=seed)

    @classmethod
    def on(
        cls,
        start: Start,
        lattice: Lattice,
        visible: NDArray[np.bool_],
        informative: NDArray[np.float32] | None,
        weights: Weights | None = None,
        precision: NDArray[np.float64] | None = None,
    ) -> "StartingMaps":
        """Maps of all sites of a lattice from its visible ones, (n_sites,)."""
        sites = lattice.unit_coordinates / lattice.spot_pitch(visible)
        return cls(start, sites[visible], sites, informative, weights, precision)

    def choose(self, values: NDArray[np.float32]) -> MapSettings:
        """Kernels and nuggets of a block, (n_spots, n_maps)."""
        if isinstance(self._shared, Blend):
            return self._shared.choose(values)
        return None if self._kriging is None else self._kriging.choose(values)

    def __call__(self, values: NDArray[np.float32], settings: MapSettings = None) -> NDArray[np.float32]:
        """Compute the maps of a block.

        Parameters
        ----------
        values
            (n_spots, n_maps).
        settings
            From :meth:`choose`, possibly with more spots; chosen here unless given.

        Returns
        -------
        (n_kinds, n_maps, n_sites): the starting map and, where it shares components, further maps that it is made of.
        """
        return np.stack([kind.T for kind in self._kinds(values, settings)])

    def _kinds(self, values: NDArray[np.float32], settings: MapSettings) -> list[NDArray[np.float32]]:
        if isinstance(self._shared, Blend):
            blended = self._shared.predict(values, settings if isinstance(settings, BlendSettings) else None)
            return [blended.sites, blended.cokriging, blended.kriging, blended.profiles]
        kriging = settings if isinstance(settings, Settings) else None
        if isinstance(self._shared, CoKriging):
            cokriged = self._shared.predict(values, kriging)
            return [cokriged.sites, cokriged.components, cokriged.kriging.sites]
        if self._kriging is not None:
            return [self._kriging.predict(values, kriging).sites] * self._n_kinds
        return [interpolate("nearest", self._spots, values, self._sites)]


class LeftOut:
    """Cross-validated starting maps: each of the chosen spots predicted from spots without it.

    Parameters
    ----------
    start, spots, informative, precision
        As for :class:`StartingMaps`.
    sites
        (n_sites, 2): all there are.
    max_spots
        About so many spots are left out, spread over the section; None: all.
    weights
        Of a blend; by default those that predict these spots best.
    seed
        Of the folds.

    Attributes
    ----------
    seen, chosen
        (n_spots,) and (n_chosen,): all these spots, and those left out, among the measured ones.
    distance
        (n_chosen,): of a spot left out to the nearest other one, in pitches.
    """

    def __init__(
        self,
        start: Start,
        spots: NDArray[np.float64],
        sites: NDArray[np.float64],
        informative: NDArray[np.float32],
        precision: NDArray[np.float64] | None,
        max_spots: int | None = MAX_LEFT_OUT,
        weights: Weights | None = None,
        seed: int = 0,
    ) -> None:
        kriging = Kriging(spots, sites, precision=precision)
        most = len(spots) if max_spots is None else max_spots
        self.weights = weights
        self.seen = np.arange(len(spots))
        self._folded: Folded | None = None
        if start == "blend":
            self._folded = Folded(kriging, informative, max_spots=most, seed=seed)
            fold = self._folded.fold
            self.weights = weights or self._folded.weights(kriging)
        else:
            fold = folds(informative, most, seed)
        self._maps: list[tuple[NDArray[np.bool_], StartingMaps]] = []
        distance = np.zeros(len(spots))
        for number in range(fold.max() + 1):
            left_out, seen = fold == number, fold != number
            if not (left_out.any() and seen.any()):
                continue
            distance[left_out] = cKDTree(spots[seen]).query(spots[left_out])[0]
            if start != "blend":
                known = None if precision is None else precision[seen]
                maps = StartingMaps(start, spots[seen], spots[left_out], informative[seen], None, known)
                self._maps.append((seen, maps))
        self._informative = informative
        self._left_out = self.chosen = np.flatnonzero(fold >= 0)
        self.distance = distance[self.chosen]

    def predict(self, values: NDArray[np.float32], settings: MapSettings) -> NDArray[np.float32]:
        """Predict a block of genes (n_spots, n_genes) at the spots chosen, each from spots without it."""
        if self._folded is not None and self.weights is not None:
            return self._folded.predict(values, self.weights, settings if isinstance(settings, BlendSettings) else None)
        result = np.empty_like(values)
        for seen, maps in self._maps:
            result[~seen] = maps(values[seen], settings)[0].T
        return result[self._left_out]

    def predict_trained(self) -> NDArray[np.float32]:
        """The same of the values that components are made of, with nothing chosen from all spots."""
        if self._folded is not None and self.weights is not None:
            return self._folded.predict_informative(self.weights)
        return self.predict(self._informative, None)
