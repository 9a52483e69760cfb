"""Classical interpolation of all genes at once: arrays in, arrays out."""

from ._blend import FOLDS, MAX_LEFT_OUT, Blend, Blended, BlendSettings, Folded, Weights, folds
from ._cokriging import CoKriged, CoKriging
from ._interpolate import METHODS, Method, interpolate, interpolator
from ._kernels import KERNELS, NUGGETS, Kernel
from ._kriging import Kriged, Kriging, Settings
from ._precision import relative_precision
from ._profiles import Profiles
from ._tiles import boxes
from ._two_covariances import TwoCovariances

__all__ = [
    "FOLDS",
    "KERNELS",
    "MAX_LEFT_OUT",
    "METHODS",
    "NUGGETS",
    "Blend",
    "BlendSettings",
    "Blended",
    "CoKriged",
    "CoKriging",
    "Folded",
    "Kernel",
    "Kriged",
    "Kriging",
    "Method",
    "Profiles",
    "Settings",
    "TwoCovariances",
    "Weights",
    "boxes",
    "folds",
    "interpolate",
    "interpolator",
    "relative_precision",
]
