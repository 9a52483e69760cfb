"""Prediction of all genes at once at unmeasured sites: arrays in, arrays out."""

from ._coregionalization import Coregionalization
from ._cross_validation import MAX_LEFT_OUT, CrossValidation, folds
from ._factor import KERNELS, NUGGETS, Kernel
from ._kriging import Kriging, Settings
from ._methods import GUIDED, METHODS, Method, Predictor, fit
from ._noise_weights import find_noise_weights, section_noise_weights
from ._pca_kriging import PCAKriging
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
    "find_noise_weights",
    "fit",
    "folds",
    "parallel",
    "section_noise_weights",
]
