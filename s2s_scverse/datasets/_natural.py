"""Crops of photographs, user images or synthetic textures, as training data."""

from collections.abc import Sequence
from os import PathLike
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from .._checks import check_int, check_rng
from ._images import MIN_SIDE, Image, find_images
from ._textures import textures

__all__ = ["natural_images"]

MAX_REDUCTION: Final = 6.0  # largest number of pixels of the image per pixel of the crop
MIN_CONTRAST: Final = 0.04  # standard deviation below which a crop is drawn again
TRIES: Final = 4


def natural_images(
    source: Literal["photographs", "textures"]
    | str
    | PathLike[str]
    | NDArray[Any]
    | Sequence[NDArray[Any]] = "photographs",
    *,
    size: tuple[int, int] = (64, 64),
    n: int = 64,
    rng: int | np.random.Generator | None = 0,
) -> NDArray[np.float32]:
    """Draw random grayscale crops of natural images.

    Crops are rotated by a random angle, flipped half of the time and, if the image is large enough, low-pass filtered
    and reduced by a random factor between 1 and 6, so that structures of all scales appear at the scale of single
    pixels. Crops lie inside their images; small images are enlarged. Images are used about equally often.

    Parameters
    ----------
    source
        Source of the images:

        ``"photographs"``
            Photographs shipped with scikit-image that are in the public domain or under CC0: astronaut, brick, camera,
            chelsea, clock, coffee, grass, gravel, Hubble deep field, retina and rocket.
        ``"textures"``
            Synthetic noise with a power-law spectrum :cite:p:`Field1987`, and dead leaves :cite:p:`Lee2001`.
        path
            Folder with image files (png, jpg, tif, bmp, gif, webp); subfolders are ignored.
        array or sequence of arrays
            Images (height, width) or (height, width, 3 or 4) of at least 8 x 8 pixels. A single array may also be a
            stack of images along the first axis.
    size
        Height and width of the crops, in pixels.
    n
        Number of crops.
    rng
        Seed or generator.

    Returns
    -------
    Crops (n, height, width), float32, in [0, 1]. Colour is reduced to luminance. Images with 8 bits, booleans and
    floats within [0, 1] keep their brightness; others are scaled from their minimum and maximum to 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or an image cannot be read or has an invalid shape or NaN or infinite values.
    FileNotFoundError
        If the installed scikit-image lacks one of the photographs.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> crops = s2s.datasets.natural_images(size=(48, 32), n=5)
    >>> crops.shape, crops.dtype
    ((5, 48, 32), dtype('float32'))
    """
    if not isinstance(size, list | tuple) or len(size) != 2:
        msg = f"size must be a pair of integers (height, width), found {size!r}"
        raise TypeError(msg)
    height = check_int("the height in size", size[0], least=1)
    width = check_int("the width in size", size[1], least=1)
    n = check_int("n", n, least=1)
    rng = check_rng(rng)
    if isinstance(source, str) and source == "textures":
        return textures((height, width), n, rng)
    loaders = find_images(source)
    order = rng.permutation(len(loaders))[np.arange(n) % len(loaders)]
    children = rng.spawn(n)
    crops = np.empty((n, height, width), dtype=np.float32)
    for image in np.unique(order):  # one image in memory at a time: folders may be large
        levels = _pyramid(loaders[image]())
        for i in np.flatnonzero(order == image):
            for _ in range(TRIES):
                crops[i] = _draw_crop(levels, (height, width), children[i])
                if crops[i].std() >= MIN_CONTRAST:
                    break
    return crops


def _pyramid(image: Image) -> list[Image]:
    """Return the image reduced by factors of 1, 2 and 4, as long as both sides have 8 pixels."""
    levels = [image]
    while min(levels[-1].shape) >= 2 * MIN_SIDE and 2 ** len(levels) <= MAX_REDUCTION:
        height, width = (side // 2 for side in levels[-1].shape)
        levels.append(levels[-1][: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)))
    return levels


def _draw_crop(levels: list[Image], size: tuple[int, int], rng: np.random.Generator) -> Image:
    angle = rng.uniform(0, 2 * np.pi)
    flip = rng.choice([-1, 1])
    half = (np.array(size) - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.array([[abs(cos), abs(sin)], [abs(sin), abs(cos)]]) @ half  # half sides of the upright box around it
    # The largest reduction at which the turned crop still lies inside the image.
    limit = min(MAX_REDUCTION, ((np.array(levels[0].shape) - 1) / 2 / np.maximum(turned, 0.5)).min())
    reduction = np.exp(rng.uniform(0, np.log(limit))) if limit > 1 else limit
    level = int(np.clip(np.log2(reduction), 0, len(levels) - 1))
    image = levels[level]
    step = min(reduction / 2**level, ((np.array(image.shape) - 1) / 2 / np.maximum(turned, 0.5)).min())

    reach = step * turned
    room = np.array(image.shape) - 1 - 2 * reach
    centre = reach + rng.uniform(size=2) * np.maximum(room, 0)
    first = np.maximum(np.floor(centre - reach).astype(int) - 4, 0)  # 4 pixels for the filter
    last = np.ceil(centre + reach).astype(int) + 5
    box = image[first[0] : last[0], first[1] : last[1]]
    if step > 1:
        box = gaussian_filter(box, (step - 1) / 2, mode="nearest")
    y = step * (np.arange(size[0]) - half[0])[:, None]
    x = step * flip * (np.arange(size[1]) - half[1])
    where = (centre - first)[:, None, None] + np.stack([cos * y - sin * x, sin * y + cos * x])
    crop: Image = map_coordinates(box, where, order=1, mode="nearest")
    return crop
