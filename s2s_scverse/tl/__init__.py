"""Tools: imputation, interpolation, evaluation, propagation of uncertainty."""

from .._train._config import TRAINING_PRESETS, TrainingConfig
from ._evaluate import evaluate
from ._impute import impute
from ._interpolate import interpolate
from ._propagate import propagate

__all__ = ["TRAINING_PRESETS", "TrainingConfig", "evaluate", "impute", "interpolate", "propagate"]
