"""Crops of photographs or images of the user, as training data."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from .._checks import check_int, check_rng

Source = Literal["photographs"] | str | PathLike[str] | NDArray[Any] | Sequence[NDArray[Any]]
Image = NDArray[np.float32]  # (height, width), in [0, 1]

# Photographs in scikit-image's wheel that its documentation states to be in the public domain or under CC0.
PHOTOGRAPHS: Final = {
    "astronaut.png": "NASA, public domain",
    "brick.png": "CC0Textures, CC0",
    "camera.png": "Lav Varshney, CC0",
    "chelsea.png": "Stefan van der Walt, CC0",
    "clock_motion.png": "Stefan van der Walt, public domain",
    "coffee.png": "Rachel Michetti, CC0",
    "grass.png": "linolafett (DeviantArt), CC0",
    "gravel.png": "CC0Textures, CC0",
    "hubble_deep_field.jpg": "NASA, public domain",
    "retina.jpg": "Mikael Häggström, CC0",
    "rocket.jpg": "SpaceX, public domain",
}
SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MIN_SIDE: Final = 8  # pixels
MAX_REDUCTION: Final = 6.0  # largest number of pixels of the image per pixel of the crop
MIN_CONTRAST: Final = 0.04  # standard deviation below which a crop is drawn again
TRIES: Final = 4


def natural_images(
    source: Source = "photographs",
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
    loaders = _find_images(source)
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
    return np.asarray(map_coordinates(box, where, order=1, mode="nearest"))


def _find_images(source: object) -> list[Callable[[], Image]]:
    """Return a function per image that loads it; arrays are validated immediately, files when they are read."""
    if isinstance(source, str) and source == "photographs":
        # The functions of skimage.data would download missing files.
        folder = Path(str(files("skimage"))) / "data"
        return [partial(_read, folder / name) for name in PHOTOGRAPHS]
    if isinstance(source, str | PathLike):
        folder = Path(source)
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing"
            msg = f"source must be 'photographs' or the path of a folder; found {found} at {str(folder)!r}"
            raise ValueError(msg)
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not paths:
            msg = f"the folder {str(folder)!r} holds no images; expected files ending in {', '.join(SUFFIXES)}"
            raise ValueError(msg)
        return [partial(_read, path) for path in paths]
    if isinstance(source, np.ndarray):
        in_colour = source.ndim >= 3 and source.shape[-1] in (3, 4)
        source = list(source) if source.ndim - in_colour == 3 else [source]
    if not isinstance(source, list | tuple):
        msg = f"source must be 'photographs', a folder, an array or a list of arrays, found {type(source).__name__}"
        raise TypeError(msg)
    if not source:
        msg = "source holds no images; pass at least one array, or source='photographs'"
        raise ValueError(msg)
    return [partial(np.asarray, _to_gray(array, f"image {i} of source")) for i, array in enumerate(source)]


def _read(path: Path) -> Image:
    from PIL import Image as Pillow
    from skimage.io import imread

    try:
        if path.suffix.lower() not in (".tif", ".tiff"):
            # skimage leaves invalid files open.
            with Pillow.open(path) as image:
                image.verify()
        array = imread(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # image readers raise errors of many classes
        msg = f"{str(path)!r} cannot be read as an image: {error}; repair or remove it"
        raise ValueError(msg) from error
    return _to_gray(array, repr(str(path)))


def _to_gray(array: object, name: str) -> Image:
    """Return the luminance of an image of any real dtype, scaled to [0, 1]."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        found = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        msg = f"{name} must be a boolean, integer or float array, found {found}"
        raise TypeError(msg)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        msg = f"{name} must have the shape (height, width) or (height, width, 3 or 4), found {array.shape}"
        raise ValueError(msg)
    if min(array.shape[:2]) < MIN_SIDE:
        height, width = array.shape[:2]
        msg = f"{name} has {height} x {width} pixels, but at least {MIN_SIDE} x {MIN_SIDE} are needed; leave it out"
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = f"{name} holds NaN or infinite values; fill or crop them first"
        raise ValueError(msg)
    image = array.astype(np.float64)
    if array.ndim == 3:
        image = image[..., :3] @ (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as skimage.color.rgb2gray
    low, high = image.min(), image.max()
    if array.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif array.dtype.kind == "b" or (array.dtype.kind == "f" and low >= 0 and high <= 1):
        low, high = 0.0, 1.0
    return np.asarray(np.clip((image - low) / ((high - low) or 1.0), 0.0, 1.0), np.float32)
