"""Lattices of sites: numpy and scipy only."""

from ._infer import *  # noqa: F403
from ._lattice import *  # noqa: F403
