"""Predictors and cross-validation of a section on its lattice, with noise weights from the depth of its spots."""

import numpy as np
from scipy.spatial import cKDTree

from .._lattice import SectionOnLattice
from ._arrays import Bool, Float, Float64
from ._cross_validation import MAX_LEFT_OUT, CrossValidation
from ._methods import Method, Predictor, fit
from ._stack import StackingWeights

__all__ = ["cross_validate", "find_noise_weights", "fit_section", "section_noise_weights"]

_NEIGHBOURS = 24
_LENGTH = 1.0  # in spot pitches


def find_noise_weights(spots: Float, depth: Float) -> Float64:
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
    weight = np.exp(-distance / _LENGTH)
    around = (weight * logs[neighbour]).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(1 / (1 + np.exp(around - logs)))


def section_noise_weights(section: SectionOnLattice, seen: Bool) -> Float64 | None:
    """Return the noise weights of the spots `seen`, (n_sites,); None if the depth is unknown."""
    if section.depth is None:
        return None
    return find_noise_weights(section.positions(seen)[seen], section.depth[seen[section.measured]])


def fit_section(section: SectionOnLattice, method: Method, sites: Bool, stacking: StackingWeights | None) -> Predictor:
    """Fit a method to the measured spots of a section, to predict some of its sites, (n_sites,)."""
    at, spots, covariates = section.positions(section.measured), section.measured, section.covariates
    return fit(
        method,
        at[spots],
        at[sites],
        section.values,
        noise_weights=section_noise_weights(section, spots),
        stacking=stacking,
        covariates=None if covariates is None else (covariates[spots], covariates[sites]),
    )


def cross_validate(
    section: SectionOnLattice,
    method: Method,
    seen: Bool,
    *,
    stacking: StackingWeights | None = None,
    limit: int = MAX_LEFT_OUT,
    seed: int,
) -> CrossValidation:
    """Cross-validate a method on the spots `seen`, (n_sites,); a stack is weighted for the wanted sites."""
    at = section.positions(seen)
    validation = CrossValidation(
        method,
        at[seen],
        section.values[seen[section.measured]],
        noise_weights=section_noise_weights(section, seen),
        covariates=None if section.covariates is None else section.covariates[seen],
        stacking=stacking,
        limit=limit,
        seed=seed,
    )
    if method == "stack":
        validation.stacking_weights(at[section.wanted])
    return validation
