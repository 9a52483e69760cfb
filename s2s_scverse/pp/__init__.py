"""Preprocessing: sections on lattices."""

from ._grid import grid
from ._sparsify import sparsify

__all__ = ["grid", "sparsify"]
