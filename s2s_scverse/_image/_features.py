"""Image features at sites: local mean and standard deviation of stains or channels at several scales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.color import rgb2hed
from skimage.util import img_as_float32

from ._placed import PlacedImage, block_mean

__all__ = ["Description", "FeatureMaps", "cut_patches"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SAMPLES: Final = 2.0  # pixels of the reduced image per standard deviation of the narrowest Gaussian
MOST: Final = 2**24  # largest number of pixels of the reduced image
CLEAR: Final = 0.06  # mean optical density below which an RGB image shows no tissue
SATURATED: Final = 0.35  # saturation from which pixels may be ink of a green or blue pen
INK: Final = 1.3  # ratio of red to green absorption from which such pixels are ink; stains have lower ratios
DARK: Final = 0.12  # brightness below which pixels are ink or fiducials
COVERED: Final = 0.3  # smallest visible fraction of the window around a site


@dataclass(frozen=True, eq=False)
class Description:
    """Features of sites; missing ones are replaced by the median of the others."""

    features: Float32  # (n_sites, n_features)
    names: list[str]
    missing: NDArray[np.bool_]  # (n_sites,) outside the image, on background, or under pen marks or fiducials

    @classmethod
    def filled(cls, features: Float32, names: list[str], missing: NDArray[np.bool_]) -> "Description":
        """Replace missing features, in place."""
        if missing.any() and not missing.all():
            features[missing] = [np.median(column[~missing]) for column in features.T]
        return cls(features, names, missing)


class FeatureMaps:
    """Feature maps of an image, which can be sampled at any position.

    Features are the mean and standard deviation of each channel over visible pixels, weighted by Gaussians with
    standard deviations of `scales` times `spacing`, the distance between neighbouring spots in pixels. With `stain`,
    the channels of an RGB image are haematoxylin and eosin densities :cite:p:`ruifrok2001`. The image is reduced band
    by band to limit memory.
    """

    def __init__(self, image: PlacedImage, spacing: float, scales: Sequence[float], *, stain: bool = True) -> None:
        self.image = image
        least = np.ceil(np.sqrt(np.prod(image.shape) / MOST))
        self._factor = int(max(1, least, min(scales) * spacing // SAMPLES))
        self._maps: list[NDArray[np.floating]] = []
        self.names: list[str] = []
        means, squares, visible, density = self._reduced(stain=stain)
        channels = ("haematoxylin", "eosin") if density is not None else [f"channel{i}" for i in range(means.shape[-1])]
        for scale in scales:
            width = scale * spacing / self._factor
            cover = gaussian_filter(visible, width)
            for number, channel in enumerate(channels):
                mean = gaussian_filter(means[..., number], width) / np.maximum(cover, 1e-6)
                square = gaussian_filter(squares[..., number], width) / np.maximum(cover, 1e-6)
                self._maps += [mean, np.sqrt(np.maximum(square - np.square(mean), 0))]
                self.names += [f"{channel}_mean_{scale:g}", f"{channel}_std_{scale:g}"]
        width = max(scales) * spacing / self._factor
        self._seen = gaussian_filter(visible, width, mode="constant")
        if density is not None:
            self._seen[gaussian_filter(density, width) < CLEAR * np.maximum(gaussian_filter(visible, width), 1e-6)] = 0

    def describe(self, coordinates: Float64) -> Description:
        """Return the features at coordinates (n, 2), without missing ones."""
        features, missing = self.sample(coordinates)
        return Description.filled(features, self.names, missing)

    def sample(self, coordinates: Float64) -> tuple[Float32, NDArray[np.bool_]]:
        """Return the features (n, n_features) at coordinates (n, 2), and where they are missing, (n,)."""
        at = (self.image.at(coordinates)[:, ::-1].T + 0.5) / self._factor - 0.5
        found = [map_coordinates(each, at, order=1, mode="nearest") for each in self._maps]
        return np.stack(found, axis=1), map_coordinates(self._seen, at, order=1, mode="constant") < COVERED

    def _reduced(self, *, stain: bool) -> tuple[Float32, Float32, Float32, Float32 | None]:
        """Return block means of channels, their squares, visible pixels and (for RGB images) optical density."""
        rows: list[list[Float32]] = []
        for band in self.image.bands(self._factor):
            colour = stain and band.shape[-1] in (3, 4)
            channels, visible, density = _stains(band) if colour else _channels(band)
            layers = [channels * visible[..., None], np.square(channels) * visible[..., None], visible[..., None]]
            layers += [] if density is None else [(density * visible)[..., None]]
            rows.append([block_mean(layer, self._factor) for layer in layers])
        means, squares, visible, *density_ = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        return means, squares, visible[..., 0], density_[0][..., 0] if density_ else None


def cut_patches(
    image: PlacedImage,
    coordinates: Float64,
    extractor: Callable[[NDArray[Any]], Any],
    side: int,
    batch_size: int,
) -> Description:
    """Return the features of the patches around coordinates (n_sites, 2).

    `extractor` maps patches (n, side, side, channels), `batch_size` at a time, to an array or tensor (n, n_features).
    """
    centre = np.round(image.at(coordinates)[:, ::-1]).astype(int)
    corner = centre - side // 2
    height, width = image.shape
    inside = np.all((corner >= 0) & (corner + side <= (height, width)), axis=1)
    features = np.empty((len(coordinates), 0), np.float32)
    sites = np.flatnonzero(inside)
    for start in range(0, len(sites), batch_size):
        batch = sites[start : start + batch_size]
        patches = np.stack([image.pixels[row : row + side, col : col + side] for row, col in corner[batch]])
        result = extractor(patches.reshape(*patches.shape[:3], -1))
        result = np.asarray(result.detach().cpu() if hasattr(result, "detach") else result, np.float32)
        if result.ndim != 2 or len(result) != len(batch):
            msg = f"extractor must return an array of shape ({len(batch)}, n_features), found {result.shape}"
            raise ValueError(msg)
        if start == 0:
            features = np.zeros((len(coordinates), result.shape[1]), np.float32)
        features[batch] = result
    if not len(sites):
        msg = f"no site has a whole patch of {side} pixels inside the image"
        raise ValueError(msg)
    return Description.filled(features, [f"feature{i}" for i in range(features.shape[1])], ~inside)


def _stains(band: NDArray[Any]) -> tuple[Float32, Float32, Float32]:
    """Return haematoxylin and eosin (h, w, 2), visible pixels and optical density (h, w) of an RGB(A) band."""
    colour = img_as_float32(band)  # type: ignore[no-untyped-call]
    visible = np.ones(band.shape[:2], np.float32) if band.shape[-1] == 3 else (colour[..., 3] > 0.5).astype(np.float32)
    colour = colour[..., :3]
    red, green, blue = np.moveaxis(colour, -1, 0)
    brightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = (brightest - darkest) / np.maximum(brightest, 1e-6)
    density = -np.log10(np.maximum(colour, 1 / 255))
    pen = (density[..., 0] > INK * density[..., 1]) & (saturation > SATURATED)
    visible[pen | (brightest < DARK)] = 0
    return rgb2hed(colour)[..., :2].astype(np.float32), visible, density.mean(axis=-1)


def _channels(band: NDArray[Any]) -> tuple[Float32, Float32, None]:
    channels = band.astype(np.float32)
    return channels, np.ones(band.shape[:2], np.float32), None
