"""Data to try things on: a simulated section with known truth, and photographs to train with."""

from ._natural import natural_images
from ._simulated import simulated_tissue

__all__ = ["natural_images", "simulated_tissue"]
