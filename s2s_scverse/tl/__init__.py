"""Tools: imputation, interpolation, evaluation."""

from ._evaluate import evaluate
from ._impute import impute
from ._interpolate import interpolate

__all__ = ["evaluate", "impute", "interpolate"]
