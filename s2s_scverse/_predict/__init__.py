"""Prediction of all genes at once at unmeasured sites: arrays in, arrays out."""

from ._coregionalization import Coregionalization
from ._cross_validation import MAX_CROSS_VALIDATED, CrossValidation, cross_validate, folds
from ._kriging import KERNELS, NOISE_RATIOS, Kernel, Kriging, Settings
from ._methods import GUIDED, METHODS, Method, Predictor, find_noise_weights, fit, fit_section, section_noise_weights
from ._pca_kriging import PCAKriging, state_kriging
from ._stack import Stack, StackingWeights
from ._threads import parallel
from ._tiles import boxes

__all__ = [
    "GUIDED",
    "KERNELS",
    "MAX_CROSS_VALIDATED",
    "METHODS",
    "NOISE_RATIOS",
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
    "boxes",
    "cross_validate",
    "find_noise_weights",
    "fit",
    "fit_section",
    "folds",
    "parallel",
    "section_noise_weights",
    "state_kriging",
]
