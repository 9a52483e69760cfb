"""Prediction of all genes at once at unmeasured sites: arrays in, arrays out."""

from ._coregionalization import Coregionalization
from ._cross_validation import MAX_LEFT_OUT, CrossValidation, folds
from ._factor import KERNELS, NUGGETS, Kernel
from ._kriging import Kriging, Settings
from ._methods import GUIDED, METHODS, Method, Predictor, fit
from ._pca_kriging import PCAKriging
from ._sections import cross_validate, find_noise_weights, fit_section, section_noise_weights
from ._stack import Stack, StackingWeights
from ._state_kriging import StateKriging
from ._threads import parallel
from ._tiles import boxes

__all__ = [
    "GUIDED",
    "KERNELS",
    "MAX_LEFT_OUT",
    "METHODS",
    "NUGGETS",
    "Coregionalization",
    "CrossValidation",
    "Kernel",
    "Kriging",
    "Method",
    "PCAKriging",
    "Predictor",
    "Settings",
    "Stack",
    "StackingWeights",
    "StateKriging",
    "boxes",
    "cross_validate",
    "find_noise_weights",
    "fit",
    "fit_section",
    "folds",
    "parallel",
    "section_noise_weights",
]
