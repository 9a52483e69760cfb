"""Conditional simulation: what values at unmeasured sites may be, jointly over sites and genes."""

from ._errors import ErrorModel, GeneErrors, Marginals
from ._growth import Growth, growth_slope
from ._marginals import Counting

__all__ = ["Counting", "ErrorModel", "GeneErrors", "Growth", "Marginals", "growth_slope"]
