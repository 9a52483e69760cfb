"""Plots."""

from ._compare import compare, uncertainty
from ._evaluation import evaluation
from ._grid import grid
from ._history import history
from ._image_features import image_features
from ._reliability import reliability

__all__ = ["compare", "evaluation", "grid", "history", "image_features", "reliability", "uncertainty"]
