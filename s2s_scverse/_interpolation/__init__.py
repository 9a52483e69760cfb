"""Classical interpolation of all genes at once: arrays in, arrays out."""

from ._cokriging import CoKriged, CoKriging
from ._interpolate import METHODS, Method, interpolate
from ._kernels import EXPONENTIAL, MATERN, NUGGETS, Kernel
from ._kriging import Kriged, Kriging, Settings

__all__ = [
    "EXPONENTIAL",
    "MATERN",
    "METHODS",
    "NUGGETS",
    "CoKriged",
    "CoKriging",
    "Kernel",
    "Kriged",
    "Kriging",
    "Method",
    "Settings",
    "interpolate",
]
