"""Plots."""

from ._compare import compare
from ._evaluation import evaluation
from ._history import history
from ._reliability import reliability

__all__ = ["compare", "evaluation", "history", "reliability"]
