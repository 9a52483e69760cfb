"""Preprocessing of sections."""

from ._artifacts import mask_artifacts
from ._from_spatialdata import from_spatialdata
from ._grid import grid
from ._image_features import image_features
from ._normalize import normalize
from ._sparsify import sparsify

__all__ = ["from_spatialdata", "grid", "image_features", "mask_artifacts", "normalize", "sparsify"]
