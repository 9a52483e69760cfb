"""Synthetic images with the statistics of photographs."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["dead_leaves", "fractal_noise", "textures"]


def textures(size: tuple[int, int], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw fractal noise and dead leaves alternately, (n, height, width), in [0, 1]."""
    images = np.empty((n, *size), dtype=np.float32)
    for i, child in enumerate(rng.spawn(n)):
        images[i] = (dead_leaves if i % 2 else fractal_noise)(size, child)
    return images


def fractal_noise(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw noise with an amplitude proportional to frequency to the power -1 to -1.8, (height, width), in [0, 1].

    The exponent of photographs is about -1 (Field 1987). Cropping from twice the size avoids periodic edges.
    """
    height, width = 2 * size[0], 2 * size[1]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency ** -rng.uniform(1.0, 1.8)
    noise = np.fft.irfft2(spectrum, s=(height, width))[: size[0], : size[1]]
    noise -= noise.min()
    scaled: NDArray[np.float32] = (noise / (noise.max() or 1.0)).astype(np.float32)
    return scaled


def dead_leaves(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
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
    reduced: NDArray[np.float32] = image.reshape(size[0], 2, size[1], 2).mean(axis=(1, 3)).astype(np.float32)
    return reduced
