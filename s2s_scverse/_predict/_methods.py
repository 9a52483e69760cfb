"""Predictors by the name of their method, fitted to arrays or to a section."""

from typing import Any, Final, Literal, Protocol, get_args

import numpy as np
from scipy.spatial import cKDTree

from .._lattice import SectionOnLattice
from ._arrays import Bool, Covariates, Float, Float32, Float64, as_float32
from ._classical import CLASSICAL, Classical
from ._coregionalization import Coregionalization
from ._covariates import ExternalDrift
from ._kriging import Kriging
from ._pca_kriging import PCAKriging, state_kriging
from ._stack import MIN_STACKED, Stack, StackingWeights

__all__ = [
    "GUIDED",
    "METHODS",
    "Method",
    "Predictor",
    "fit",
    "fit_section",
    "noise_weights_of",
    "section_noise_weights",
]

Method = Literal[
    "nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging", "coregionalization", "state_kriging", "stack"
]
METHODS: Final[tuple[str, ...]] = get_args(Method)
GUIDED: Final = ("kriging", "pca_kriging", "state_kriging", "stack")  # methods that use covariates
_NEIGHBOURS, _DECAY = 24, 1.0  # number of spots, and their decay in spot pitches, for the depth around a spot


class Predictor(Protocol):
    """Predictor of any block of genes at given sites from given spots."""

    def tune(self, values: Float) -> Any:
        """Choose the hyper-parameters of each of the genes (n, n_genes) by leave-one-out."""

    def maps(self, values: Float, settings: Any = None) -> list[Float32]:
        """Predict genes (n, n_genes): (m, n_genes), followed by the maps that it combines, if any."""


def fit(
    method: Method,
    spots: Float,
    sites: Float,
    informative: Float | None = None,
    *,
    noise_weights: Float64 | None = None,
    stacking: StackingWeights | None = None,
    covariates: Covariates | None = None,
) -> Predictor:
    """Fit a predictor for spots (n, 2) and sites (m, 2), in units of the spot spacing.

    All kriging methods use noise weights (n,), and all but ordinary kriging are fitted to the genes `informative`
    (n, n_informative). The stack uses stacking weights of `CrossValidation`, by default those of PCA kriging. `GUIDED`
    methods use covariates of spots (n, k) and sites (m, k), standardised over the section; all but the stack use them
    as external drift. With too few spots, coregionalization and state kriging are PCA kriging.
    """
    if method in CLASSICAL:
        return Classical(method, spots, sites)
    kriging = Kriging(spots, sites, noise_weights=noise_weights)
    if covariates is not None and method != "stack":
        kriging = ExternalDrift(kriging, *covariates)
    if method == "kriging" or informative is None:
        return kriging
    values = as_float32(informative)
    if method == "stack":
        return Stack(kriging, values, weights=stacking, covariates=covariates)
    if method == "coregionalization" and len(values) >= MIN_STACKED:
        return Coregionalization(spots, sites, values, noise_weights=noise_weights)
    components = PCAKriging(kriging, values)
    return state_kriging(components) if method == "state_kriging" and len(values) >= MIN_STACKED else components


def fit_section(section: SectionOnLattice, method: Method, sites: Bool, stacking: StackingWeights | None) -> Predictor:
    """Fit a method to the measured spots of a section, to predict some of its sites, (n_sites,)."""
    spots, covariates = section.measured, section.covariates
    at, weights = section.positions(spots), section_noise_weights(section, spots)
    both = None if covariates is None else (covariates[spots], covariates[sites])
    data = at[spots], at[sites], section.values
    return fit(method, *data, noise_weights=weights, stacking=stacking, covariates=both)


def noise_weights_of(spots: Float, depth: Float) -> Float64:
    """Return the inverse noise variance of every spot (n, 2) from its depth (n,), relative to the spots around it.

    The noise variance has a constant part and a counting part that is inversely proportional to depth; both are assumed
    to be equal at the local mean depth: weight = 1 / (1 + local depth / depth). Only local differences in depth enter,
    since differences between regions are biological.
    """
    if len(spots) < 2:
        return np.ones(len(spots))
    logs = np.log(np.asarray(depth, np.float64))
    nearest = cKDTree(spots).query(spots, k=min(len(spots), _NEIGHBOURS + 1))
    distance, neighbour = (np.asarray(each)[:, 1:] for each in nearest)
    weight = np.exp(-distance / _DECAY)
    around = (weight * logs[neighbour]).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(1 / (1 + np.exp(around - logs)))


def section_noise_weights(section: SectionOnLattice, spots: Bool) -> Float64 | None:
    """Return the noise weights of some of the spots, (n_sites,); None if the depth is unknown."""
    if section.depth is None:
        return None
    return noise_weights_of(section.positions(spots)[spots], section.depth[spots[section.measured]])
