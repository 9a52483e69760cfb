"""Natural images laid on lattices, as further maps whose truth is known everywhere."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .._lattice import Lattice
from ._config import Matching

__all__ = ["image_box", "images_at_sites", "matched_images"]


def image_box(lattice: Lattice) -> tuple[int, int]:
    """Height and width of images that cover the lattice in its true geometry."""
    x, y = np.ptp(lattice.unit_coordinates, axis=0)
    return int(np.ceil(y - 1e-6)) + 1, int(np.ceil(x - 1e-6)) + 1


def images_at_sites(images: NDArray[np.float32], lattice: Lattice, *, standardise: bool) -> NDArray[np.float32]:
    """Sample images (n, height, width), of brightness 0 to 1, at the sites: (n_sites, n), without flat images.

    `standardise` brings each image to mean 0 and standard deviation 1 over the sites.
    """
    x, y = (lattice.unit_coordinates - lattice.unit_coordinates.min(axis=0)).T
    values = np.stack([map_coordinates(image, (y, x), order=1, mode="nearest") for image in images], axis=1)
    deviation = values.std(axis=0)
    textured = deviation > 1e-3
    values, deviation = values[:, textured], deviation[textured]
    if standardise:
        values = (values - values.mean(axis=0)) / deviation
    return values.astype(np.float32)


def matched_images(
    images: NDArray[np.float32],
    genes: NDArray[np.float32],
    nuggets: NDArray[np.float64],
    matching: Matching,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Make images (n_sites, n) look like measurements of genes; each follows one gene, drawn at random.

    Images and genes (n_spots, n_genes) are standardised, and so is the result. `nuggets` (n_genes,) are the variance of
    the noise over that of the signal; for `matching` see :class:`s2s_scverse.tl.TrainingConfig`.
    """
    if matching == "none":
        return images
    drawn = rng.integers(genes.shape[1], size=images.shape[1])
    nugget = nuggets[drawn]
    noisy = (images + np.sqrt(nugget) * rng.standard_normal(images.shape)) / np.sqrt(1 + nugget)
    if matching == "distribution":
        rank = noisy.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        place = ((rank + 0.5) / len(noisy) * len(genes)).astype(np.int64)
        noisy = np.take_along_axis(np.sort(genes[:, drawn], axis=0), place, axis=0)
    return np.asarray(noisy, np.float32)
