"""Sparser-to-sparse training on arrays; needs torch and lightning, knows nothing of AnnData."""

from ._checkpoint import check_files
from ._config import TRAINING_PRESETS, TrainingConfig
from ._device import find_device
from ._fit import MIN_SPOTS, fit, untrained
from ._fitted import Answer, Fitted, Imputer
from ._imputation import Block, Imputation, Part
from ._parallel import Parallel
from ._section import Section

__all__ = [
    "MIN_SPOTS",
    "TRAINING_PRESETS",
    "Answer",
    "Block",
    "Fitted",
    "Imputation",
    "Imputer",
    "Parallel",
    "Part",
    "Section",
    "TrainingConfig",
    "check_files",
    "find_device",
    "fit",
    "untrained",
]
