"""Classical interpolation of all genes at once: arrays in, arrays out."""

from ._blend import Blend, Blended, blend_weights
from ._cokriging import CoKriged, CoKriging
from ._interpolate import METHODS, Method, interpolate
from ._kernels import EXPONENTIAL, MATERN, NUGGETS, Kernel
from ._kriging import Kriged, Kriging, Settings
from ._two_covariances import TwoCovariances

__all__ = [
    "EXPONENTIAL",
    "MATERN",
    "METHODS",
    "NUGGETS",
    "Blend",
    "Blended",
    "CoKriged",
    "CoKriging",
    "Kernel",
    "Kriged",
    "Kriging",
    "Method",
    "Settings",
    "TwoCovariances",
    "blend_weights",
    "interpolate",
]
