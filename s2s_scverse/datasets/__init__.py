"""Simulated and public sections, and images for training."""

from ._natural import natural_images
from ._public import visium_breast_cancer, visium_human_lymph_node, visium_mouse_brain, xenium_mouse_brain
from ._simulated import simulated_tissue

__all__ = [
    "natural_images",
    "simulated_tissue",
    "visium_breast_cancer",
    "visium_human_lymph_node",
    "visium_mouse_brain",
    "xenium_mouse_brain",
]
