"""Sparser-to-sparse training on arrays; needs torch and lightning, knows nothing of AnnData."""

from ._config import TRAINING_PRESETS, TrainingConfig
from ._device import find_device
from ._fit import MIN_SPOTS, Fitted, Section, fit

__all__ = ["MIN_SPOTS", "TRAINING_PRESETS", "Fitted", "Section", "TrainingConfig", "find_device", "fit"]
