"""Simulated and public sections, and images for training."""

from ._natural import natural_images
from ._simulated import simulated_tissue
from ._visium import visium_breast_cancer, visium_human_lymph_node, visium_mouse_brain
from ._xenium import xenium_mouse_brain

__all__ = [
    "natural_images",
    "simulated_tissue",
    "visium_breast_cancer",
    "visium_human_lymph_node",
    "visium_mouse_brain",
    "xenium_mouse_brain",
]
