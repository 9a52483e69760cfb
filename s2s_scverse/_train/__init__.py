"""Sparser-to-sparse training on arrays; needs torch and lightning, knows nothing of AnnData."""

from ._checkpoint import check_files
from ._config import TRAINING_PRESETS, TrainingConfig
from ._fit import MIN_SPOTS, fit
from ._model import Block, SectionModel, find_device, model_arrays, predict_block

__all__ = [
    "MIN_SPOTS",
    "TRAINING_PRESETS",
    "Block",
    "SectionModel",
    "TrainingConfig",
    "check_files",
    "find_device",
    "fit",
    "model_arrays",
    "predict_block",
]
