"""Crops of photographs, or synthetic textures, as training data."""

from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from .._checks import check_choice, check_int, check_rng

__all__ = ["PHOTOGRAPHS", "natural_images"]

Source = Literal["photographs", "textures"]
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

    Crops of photographs are rotated by a random angle, flipped half of the time and, if the image is large enough,
    low-pass filtered and reduced by a random factor between 1 and 6, so that structures of all scales appear at the
    scale of single pixels. Photographs are used about equally often.

    Parameters
    ----------
    source
        ``"photographs"``
            Photographs shipped with scikit-image that are in the public domain or under CC0: astronaut, brick, camera,
            chelsea, clock, coffee, grass, gravel, Hubble deep field, retina and rocket.
        ``"textures"``
            Synthetic noise with a power-law spectrum :cite:p:`Field1987`, and dead leaves :cite:p:`Lee2001`.
    size
        Height and width of the crops, in pixels.
    n
        Number of crops.
    rng
        Seed or generator.

    Returns
    -------
    Crops (n, height, width), float32, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.
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
    check_choice("source", source, get_args(Source))
    return (_textures if source == "textures" else _photographs)((height, width), n, rng)


def _photographs(size: tuple[int, int], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw crops of photographs, (n, height, width), in [0, 1]."""
    from skimage.color import rgb2gray
    from skimage.io import imread

    # The functions of skimage.data would download missing files.
    folder, names = Path(str(files("skimage"))) / "data", list(PHOTOGRAPHS)
    order = rng.permutation(len(names))[np.arange(n) % len(names)]
    children = rng.spawn(n)
    crops = np.empty((n, *size), dtype=np.float32)
    for number in np.unique(order):
        pixels = imread(folder / names[number])
        image = rgb2gray(pixels[..., :3]) if pixels.ndim == 3 else pixels / 255
        levels = _pyramid(image.astype(np.float32))
        for i in np.flatnonzero(order == number):
            for _ in range(TRIES):
                crops[i] = _draw_crop(levels, size, children[i])
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


def _textures(size: tuple[int, int], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw fractal noise and dead leaves alternately, (n, height, width), in [0, 1]."""
    return np.stack([(_dead_leaves if i % 2 else _fractal_noise)(size, child) for i, child in enumerate(rng.spawn(n))])


def _fractal_noise(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw noise with an amplitude proportional to frequency to the power -1 to -1.8, (height, width), in [0, 1].

    The exponent of photographs is about -1 (Field 1987). Cropping from twice the size avoids periodic edges.
    """
    height, width = 2 * size[0], 2 * size[1]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency ** -rng.uniform(1.0, 1.8)
    noise = np.fft.irfft2(spectrum, s=(height, width))[: size[0], : size[1]]
    noise -= noise.min()
    return np.asarray(noise / (noise.max() or 1.0), np.float32)


def _dead_leaves(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw overlapping discs of uniform grey, (height, width), in [0, 1].

    The density of radii r is proportional to r^-3 between 1.5 pixels and a third of the shorter side, which makes the
    image scale-invariant (Lee, Mumford and Huang 2001). Discs occlude later ones; pixels are averages of 2 x 2.
    """
    height, width = 2 * size[0], 2 * size[1]
    smallest = 3.0
    largest = max(min(height, width) / 3, smallest + 1)
    image = np.full((height, width), rng.uniform())
    empty = np.ones((height, width), dtype=bool)
    # The discs cover twenty times the area.
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    n_discs = int(20 * height * width / mean_area) + 1
    radius = (smallest**-2 - rng.uniform(size=n_discs) * (smallest**-2 - largest**-2)) ** -0.5
    centre = rng.uniform(-largest, [height + largest, width + largest], size=(n_discs, 2))
    grey = rng.uniform(size=n_discs)
    top, left = np.maximum(np.floor(centre - radius[:, None]), 0).astype(int).T
    bottom, right = np.ceil(centre + radius[:, None]).astype(int).T
    for i in np.flatnonzero((bottom > top) & (right > left)):
        box = np.s_[top[i] : bottom[i], left[i] : right[i]]
        free = empty[box]
        if not free.any():
            continue
        y = np.arange(top[i], top[i] + free.shape[0])[:, None] - centre[i, 0]
        x = np.arange(left[i], left[i] + free.shape[1]) - centre[i, 1]
        new = free & (y**2 + x**2 <= radius[i] ** 2)
        image[box][new] = grey[i]
        free[new] = False
    return np.asarray(image.reshape(size[0], 2, size[1], 2).mean(axis=(1, 3)), np.float32)
