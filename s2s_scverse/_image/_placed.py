"""Images with their location in the coordinates of the sites."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from .._checks import check_positive, few

__all__ = [
    "PlacedImage",
    "block_mean",
    "channels_last",
    "find_library",
    "image_file",
    "image_levels",
    "library_image",
]

OVERSHOOT: Final = 1.1  # of values of resampled images above white
BAND: Final = 2**22  # number of values of an image that are processed at a time
PARTS: Final = ("images", "scalefactors")  # of an entry of uns["spatial"]
TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # first bytes of a file; + is for BigTIFF
READ: Final = 2**27  # bytes of an image that are read at a time, so that few tiles of a file are read twice


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image and the affine map from coordinates of sites to pixels (column, row), whose centres are integers."""

    pixels: Any  # (height, width) or (height, width, channels), an array or sliceable
    to_pixels: NDArray[np.float64]  # (2, 3) or (3, 3)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape[:2]
        return int(height), int(width)

    @property
    def scale(self) -> float:
        """Pixels per unit of the coordinates."""
        return float(np.sqrt(abs(np.linalg.det(self.to_pixels[:2, :2]))))

    @property
    def white(self) -> float:
        """The value of white: 1, or the largest of 8, 10, 12, 14 or 16 bits, whatever type holds the values."""
        if self.pixels.dtype == np.uint8:
            return 255.0
        top = max(float(np.max(band, where=np.isfinite(band), initial=0)) for band in self.bands(1))
        top /= OVERSHOOT
        return 1.0 if top <= 1 else float(2 ** (2 * max(4, np.ceil(np.log2(top) / 2))) - 1)

    def at(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixels of coordinates, (n, 2) each."""
        return np.asarray(coordinates @ self.to_pixels[:2, :2].T + self.to_pixels[:2, 2])

    def outside(self, coordinates: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which coordinates (n, 2) lie outside the image."""
        pixels = self.at(coordinates)
        return np.asarray(((pixels < -0.5) | (pixels > np.array(self.shape[::-1]) - 0.5)).any(axis=1))

    def bands(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield bands (n_rows, width, channels); the number of rows is a multiple of `rows` except in the last one."""
        height, width = self.shape
        channels = int(np.prod(self.pixels.shape[2:]))
        size = max(1, BAND // max(1, width * channels * rows)) * rows
        many = max(1, READ // (size * width * channels * self.pixels.dtype.itemsize)) * size
        for first in range(0, height, many):
            part = np.asarray(self.pixels[first : first + many]).reshape(-1, width, channels)
            for start in range(0, len(part), size):
                yield part[start : start + size]


def find_library(spatial: object, section: str | None, advice: str) -> dict[str, Any]:
    """Return images and scale factors of a section from ``adata.uns["spatial"]``; errors end with `advice`."""
    entries = spatial.items() if isinstance(spatial, Mapping) else ()
    # There may be other entries, such as CELLxGENE's "is_single".
    libraries = {name: entry for name, entry in entries if isinstance(entry, Mapping) and {*entry} & {*PARTS}}
    if not libraries:
        msg = (
            "no image found: adata.uns['spatial'] has no entry with 'images' and 'scalefactors'; read the "
            f"section with its image (squidpy.read.visium), or {advice}"
        )
        raise KeyError(msg)
    if section is None and len(libraries) > 1:
        msg = (
            f"adata.uns['spatial'] holds images of several sections ({few(libraries)}) and adata is one section "
            "without a name; keep only its own entry, or pass library_key= to s2s.pp.grid"
        )
        raise ValueError(msg)
    if section is not None and section not in libraries:
        msg = f"no image of section {section!r} found; adata.uns['spatial'] has: {few(libraries)}; {advice}"
        raise KeyError(msg)
    found = libraries[next(iter(libraries)) if section is None else section]
    images, scales = (found.get(part) or {} for part in PARTS)
    # R and HDF5 make arrays of single numbers.
    numbers = {name: np.asarray(value).item() if np.size(value) == 1 else value for name, value in scales.items()}
    return {"images": images, "scalefactors": {name: value for name, value in numbers.items() if value is not None}}


def library_image(library: Mapping[str, Any], name: str | None, advice: str) -> PlacedImage:
    """Return an image of a library, by default the one of the highest resolution."""
    images, scales = library["images"], library["scalefactors"]
    if name is None:
        name = next((known for known in ("hires", "lowres") if known in images), next(iter(images), "hires"))
    if name not in images:
        msg = f"image {name!r} not found in adata.uns['spatial'], which has: {few(images) or 'none'}; {advice}"
        raise KeyError(msg)
    key = f"tissue_{name}_scalef"
    if key not in scales and name != "fullres":
        msg = f"scale factor {key!r} of image {name!r} not found; adata.uns['spatial'] has: {few(scales) or 'none'}"
        raise KeyError(msg)
    if isinstance(images[name], str | PathLike):
        msg = f"image {name!r} must be an array, found the path {str(images[name])!r}; read it, or {advice}"
        raise TypeError(msg)
    pixels = channels_last(images[name])[:]
    pixels = np.asarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    if not (pixels.ndim == 2 or pixels.shape[2] in (3, 4)):
        msg = f"image {name!r} must have shape (height, width), with 3 or 4 colours if any, found {pixels.shape}"
        raise ValueError(msg)
    scale = check_positive(f"scale factor {key!r}", float(scales.get(key, 1)))
    return PlacedImage(pixels, np.diag([scale, scale, 1.0]))


def image_file(path: str | PathLike[str], to_pixels: NDArray[np.float64], pixel: float | None) -> PlacedImage:
    """Open an image file: PNG or JPEG as a whole; the largest image of a TIFF (OME-TIFF, .btf, .svs) lazily.

    `to_pixels` maps coordinates to pixels of the highest resolution. Pyramids are read at a pixel size of at most
    `pixel`, in units of the coordinates; None for the highest resolution.
    """
    path = Path(path)
    if not path.is_file():
        advice = ", which is a folder; of a zarr store, pass the array" if path.exists() else ""
        msg = f"no image found at {path}{advice}"
        raise FileNotFoundError(msg)
    with path.open("rb") as file:
        start = file.read(4)
    if start not in TIFF:
        from PIL import Image

        try:
            with Image.open(path) as picture:
                plain = picture.mode in ("L", "RGB", "RGBA") or picture.mode.startswith(("I", "F"))
                found = picture if plain else picture.convert({"1": "L", "LA": "L"}.get(picture.mode, "RGB"))
                return PlacedImage(np.asarray(found), to_pixels)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            msg = f"{path} cannot be read as PNG or JPEG ({error}); convert it to TIFF, or pass an array"
            raise ValueError(msg) from error
    import tifffile
    import zarr

    with tifffile.TiffFile(path) as tiff:
        # Others are thumbnails, labels and macro images of a slide.
        number = max(range(len(tiff.series)), key=lambda at: tiff.series[at].size)
        series = tiff.series[number]
        axes, shapes = series.axes, [level.shape for level in series.levels]
    factors = [shapes[0][axes.index("X")] / shape[axes.index("X")] for shape in shapes]
    level, block = _resolution(factors, to_pixels, pixel)
    store: Any = tifffile.imread(path, series=number, level=level, aszarr=True)
    pixels = LazyPixels(zarr.open(store, mode="r"), axes, block)
    finalize(pixels, store.close)
    return PlacedImage(pixels, _reduced(to_pixels, factors[level] * block))


def channels_last(img: Any) -> Any:
    """Return an image as pixels (height, width) or (height, width, channels), lazy if it is.

    `img` is an array, channels along the shorter of its outer axes, an xarray with dimensions y and x, or an
    ImageContainer of squidpy, of which the first layer is used.
    """
    if isinstance(getattr(img, "data", None), Mapping):
        img = next(iter(img.data.values()))
    if {"y", "x"} <= {*getattr(img, "dims", ())}:
        return LazyPixels(img.data, "".join(str(name)[0].upper() for name in img.dims))
    pixels = img if hasattr(img, "shape") and hasattr(img, "dtype") else np.asarray(img)
    if len(pixels.shape) not in (2, 3) or 0 in pixels.shape:
        msg = f"img must have shape (height, width) or (height, width, channels), found {pixels.shape}"
        raise ValueError(msg)
    return LazyPixels(pixels, "CYX") if pixels.ndim == 3 and pixels.shape[0] < pixels.shape[2] else pixels


def image_levels(levels: Sequence[tuple[Any, NDArray[np.float64]]], pixel: float | None) -> PlacedImage:
    """Return a level of a pyramid, given as arrays "CYX" with the maps from coordinates to their pixels."""
    scales = [PlacedImage(array, to_pixels).scale for array, to_pixels in levels]
    level, block = _resolution([scales[0] / scale for scale in scales], levels[0][1], pixel)
    array, to_pixels = levels[level]
    return PlacedImage(LazyPixels(array, "CYX", block), _reduced(to_pixels, block))


def _resolution(factors: Sequence[float], to_pixels: NDArray[np.float64], pixel: float | None) -> tuple[int, int]:
    """Return the coarsest sufficient level, and how many of its pixels are averaged along each axis."""
    if pixel is None:
        return 0, 1
    most = PlacedImage(None, to_pixels).scale * pixel
    level = max((number for number, factor in enumerate(factors) if factor <= 1.01 * max(most, 1)), default=0)
    return level, max(1, int(most / factors[level]))


def _reduced(to_pixels: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return the map to the pixels of an image that is reduced by a factor."""
    # The centre of a reduced pixel is the mean of the centres of its pixels.
    shrink = np.array([[1 / factor, 0, (1 / factor - 1) / 2], [0, 1 / factor, (1 / factor - 1) / 2], [0, 0, 1]])
    return np.asarray(shrink @ np.vstack([to_pixels[:2], [0, 0, 1]]))


class LazyPixels:
    """Image on disk, channels last, reduced by means over `block` x `block` pixels; other axes must have length 1."""

    def __init__(self, array: Any, axes: str, block: int = 1) -> None:
        self._array, self._block, self.dtype = array, block, array.dtype
        self._order = [axes.index("Y"), axes.index("X"), *(at for at, axis in enumerate(axes) if axis not in "YX")]
        height, width, *channels = (array.shape[axis] for axis in self._order)
        stacked = any(length > 1 for axis, length in zip(axes, array.shape, strict=True) if axis in "ZT")
        if stacked or sum(length > 1 for length in channels) > 1:
            found = f"found axes {axes} of lengths {array.shape}; pass one plane or a projection as an array"
            msg = f"an image needs two axes and channels, {found}"
            raise ValueError(msg)
        self.shape = (-(-height // block), -(-width // block), int(np.prod(channels)))

    def __getitem__(self, window: slice | tuple[slice, slice]) -> NDArray[Any]:
        rows, cols = window if isinstance(window, tuple) else (window, slice(None))
        (top, bottom, _), (left, right, _) = rows.indices(self.shape[0]), cols.indices(self.shape[1])
        step = max(1, READ // (self._block**2 * (right - left) * self.shape[2] * self.dtype.itemsize))
        starts = range(top, bottom, step)
        return np.concatenate([self._read(start, min(start + step, bottom), left, right) for start in starts])

    def _read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        index = [slice(None)] * len(self._order)
        for axis, first, last in zip(self._order, (top, left), (bottom, right), strict=False):
            index[axis] = slice(first * self._block, last * self._block)
        part = np.transpose(np.asarray(self._array[tuple(index)]), self._order)
        part = part.reshape(*part.shape[:2], self.shape[2])
        if self._block == 1:
            return part
        mean = block_mean(part, self._block)
        return (mean if self.dtype.kind == "f" else np.rint(mean)).astype(self.dtype)


def block_mean(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return means (h, w, channels) over blocks of pixels, which are smaller at the lower and right edge."""
    if factor == 1:
        return values.astype(np.float32, copy=False)
    summed = values
    for axis in (0, 1):
        parts = [np.moveaxis(summed, axis, 0)[start::factor] for start in range(min(factor, summed.shape[axis]))]
        total = parts[0].astype(np.float32)
        for part in parts[1:]:  # much faster than np.add.reduceat
            total[: len(part)] += part
        summed = np.moveaxis(total, 0, axis)
    rows, cols = (np.diff(np.append(np.arange(0, length, factor), length)) for length in values.shape[:2])
    return np.asarray(summed / (rows[:, None, None] * cols[None, :, None]), np.float32)
