"""Natural images laid on lattices, as further maps whose truth is known everywhere."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .._lattice import Lattice

__all__ = ["image_box", "images_at_sites"]


def image_box(lattice: Lattice) -> tuple[int, int]:
    """Height and width of images that cover the lattice in its true geometry."""
    x, y = np.ptp(lattice.unit_coordinates, axis=0)
    return int(np.ceil(y - 1e-6)) + 1, int(np.ceil(x - 1e-6)) + 1


def images_at_sites(images: NDArray[np.float32], lattice: Lattice, *, standardise: bool) -> NDArray[np.float32]:
    """Sample images (n, height, width) at the sites.

    Parameters
    ----------
    images
        Brightness from 0 to 1.
    lattice
        The sites.
    standardise
        Whether to bring each image to mean 0 and standard deviation 1 over the sites.

    Returns
    -------
    (n_sites, n); flat images are left out.
    """
    x, y = (lattice.unit_coordinates - lattice.unit_coordinates.min(axis=0)).T
    values = np.stack([map_coordinates(image, (y, x), order=1, mode="nearest") for image in images], axis=1)
    deviation = values.std(axis=0)
    textured = deviation > 1e-3
    values, deviation = values[:, textured], deviation[textured]
    if standardise:
        values = (values - values.mean(axis=0)) / deviation
    return values.astype(np.float32)
