"""Conditional simulation: what values at unmeasured sites may be, jointly over sites and genes."""

from ._counting import Counting
from ._errors import ErrorModel, GeneErrors, Marginals

__all__ = ["Counting", "ErrorModel", "GeneErrors", "Marginals"]
