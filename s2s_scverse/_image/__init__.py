"""Tissue images: their location, features at sites, and the check of their registration."""

from ._features import *  # noqa: F403
from ._placed import *  # noqa: F403
