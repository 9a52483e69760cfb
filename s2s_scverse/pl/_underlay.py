"""The image of the tissue beneath the sites, from ``uns["spatial"]`` as scanpy and squidpy write it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .._image import find_library, library_image

__all__ = ["Box", "Underlay", "draw_underlay", "find_underlay"]

Box = tuple[float, float, float, float]  # left, right, top (the smallest y), bottom
ADVICE = "pass img=False"


@dataclass(frozen=True, eq=False)
class Underlay:
    """An image and where it lies."""

    pixels: NDArray[Any]
    """(height, width), (height, width, 3) or (height, width, 4)."""
    box: Box
    """Its edges, in the units of the coordinates."""


def find_underlay(spatial: object, section: str | None, img: bool | str | None, box: Box) -> Underlay | None:
    """Return the image in ``adata.uns["spatial"]`` that a section with the edges `box` lies on.

    `img` is its name; True for the one of the highest resolution, None for that if there is one, False for none.
    """
    if not (img is None or isinstance(img, bool | str)):
        msg = f"img must be True, False, None or the name of an image, found {img!r} ({type(img).__name__})"
        raise TypeError(msg)
    if img is False:
        return None
    try:
        library = find_library(spatial, section, ADVICE)
        image = library_image(library, None if img is True else img, ADVICE)
    except (KeyError, ValueError):
        if img is None:  # not asked for
            return None
        raise
    height, width = image.shape
    # Pixel 0 is centred at coordinate 0, as scanpy and squidpy draw it.
    left, right, top, bottom = (edge / image.scale for edge in (-0.5, width - 0.5, -0.5, height - 0.5))
    if not (box[0] < right and box[1] > left and box[2] < bottom and box[3] > top):
        if img is None:
            return None
        edges = (box, (left, right, top, bottom))
        at, below = ("x {:.4g} to {:.4g}, y {:.4g} to {:.4g}".format(*each) for each in edges)
        msg = (
            f"the section ({at}) lies beside its image ({below}); coordinates must be in pixels of the full image: "
            "rescale them, or pass img=False"
        )
        raise ValueError(msg)
    _warn_of_scaled(library, box)
    return Underlay(image.pixels, (left, right, top, bottom))


def draw_underlay(axis: Axes, underlay: Underlay, alpha: float, *, above: bool = False) -> None:
    """Draw an image below everything else, or `above` it, in axes whose limits are set."""
    left, right, top, bottom = underlay.box
    pixels = underlay.pixels
    if pixels.ndim == 3 and pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        pixels = pixels / np.iinfo(pixels.dtype).max  # colours of matplotlib are bytes, or 0 to 1
    image = axis.imshow(pixels, cmap="gray", extent=(left, right, bottom, top), alpha=alpha, zorder=2 if above else -1)
    image.set_in_layout(False)


def _warn_of_scaled(library: Mapping[str, Any], box: Box) -> None:
    """Warn if coordinates seem to be in pixels of a scaled image instead of the full one."""
    left, right, top, bottom = box
    scales = {name: float(library["scalefactors"].get(f"tissue_{name}_scalef") or 1) for name in library["images"]}
    for name, scale in sorted(scales.items(), key=lambda entry: entry[1]):
        height, width = np.shape(library["images"][name])[:2]
        inside = left > -0.1 * width and top > -0.1 * height and right < 1.1 * width and bottom < 1.1 * height
        if scale <= 0.5 and inside and max((right - left) / width, (bottom - top) / height) > 0.3:
            warnings.warn(
                f"the coordinates (x {left:.4g} to {right:.4g}, y {top:.4g} to {bottom:.4g}) lie within the {width} x "
                f"{height} pixels of image {name!r}, so they may have been scaled to it already; expected are pixels "
                f"of the full image: divide them by tissue_{name}_scalef ({scale:.4g}) before s2s.pp.grid",
                UserWarning,
                stacklevel=4,
            )
            return
