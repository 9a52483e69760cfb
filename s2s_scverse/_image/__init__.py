"""Tissue images: their location, features at sites, and the check of their registration."""

from ._features import Description, FeatureMaps, cut_patches
from ._placed import PlacedImage, find_library, image_file, image_levels, library_image
from ._registration import Misfit, check_registration, explained_locally

__all__ = [
    "Description",
    "FeatureMaps",
    "Misfit",
    "PlacedImage",
    "check_registration",
    "cut_patches",
    "explained_locally",
    "find_library",
    "image_file",
    "image_levels",
    "library_image",
]
