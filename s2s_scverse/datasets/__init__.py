"""Data to try things on: a simulated section with known truth, a public one, and photographs to train with."""

from ._natural import natural_images
from ._simulated import simulated_tissue
from ._xenium import xenium_mouse_brain

__all__ = ["natural_images", "simulated_tissue", "xenium_mouse_brain"]
