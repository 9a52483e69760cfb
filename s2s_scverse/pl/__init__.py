"""Plots."""

from ._compare import compare
from ._evaluation import evaluation
from ._history import history

__all__ = ["compare", "evaluation", "history"]
