"""Grayscale images from files and arrays."""

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_SIDE", "PHOTOGRAPHS", "Image", "find_images"]

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


def find_images(source: object) -> list[Callable[[], Image]]:
    """Return a function per image that loads it; arrays are validated immediately, files when they are read."""
    if isinstance(source, str) and source == "photographs":
        # The functions of skimage.data would download missing files.
        folder = Path(str(files("skimage"))) / "data"
        return [partial(_read, folder / name) for name in PHOTOGRAPHS]
    if isinstance(source, str | PathLike):
        return [partial(_read, path) for path in _list_folder(Path(source))]
    if isinstance(source, np.ndarray):
        in_colour = source.ndim >= 3 and source.shape[-1] in (3, 4)
        source = list(source) if source.ndim - in_colour == 3 else [source]
    if not isinstance(source, list | tuple):
        msg = (
            "source must be 'photographs', 'textures', the path of a folder, an array or a list of arrays, "
            f"found {type(source).__name__}"
        )
        raise TypeError(msg)
    if not source:
        msg = "source holds no images; pass at least one array, or source='photographs'"
        raise ValueError(msg)
    return [partial(np.asarray, _to_gray(array, f"image {i} of source")) for i, array in enumerate(source)]


def _list_folder(folder: Path) -> list[Path]:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        msg = f"source must be 'photographs', 'textures' or the path of a folder; found {found} at {str(folder)!r}"
        raise ValueError(msg)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        msg = f"the folder {str(folder)!r} holds no images; expected files ending in {', '.join(SUFFIXES)}"
        raise ValueError(msg)
    return paths


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
    image = np.asarray(array[..., :3] if array.ndim == 3 else array, dtype=np.float64)
    if array.ndim == 3:
        image = image @ (0.2125, 0.7154, 0.0721)  # ITU-R BT.709, as skimage.color.rgb2gray
    low, high = image.min(), image.max()
    if array.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif array.dtype.kind == "b" or (array.dtype.kind == "f" and low >= 0 and high <= 1):
        low, high = 0.0, 1.0
    scaled = np.clip((image - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(image)
    return scaled.astype(np.float32)
