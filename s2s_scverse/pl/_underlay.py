"""The image of the tissue under the sites, as scanpy and squidpy keep it in ``uns["spatial"]``."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._checks import check_positive, few

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Box = tuple[float, float, float, float]  # left, right, top (the smallest y), bottom

__all__ = ["Underlay", "draw_underlay", "find_underlay"]


@dataclass(frozen=True, eq=False)
class Underlay:
    """An image and where it lies."""

    pixels: NDArray[Any]
    """(height, width), (height, width, 3) or (height, width, 4)."""
    box: "Box"
    """Its edges, in the units of the coordinates."""


def find_underlay(spatial: object, section: str | None, img: bool | str | None, box: "Box") -> Underlay | None:
    """Return the image in ``adata.uns["spatial"]`` that a section with the edges `box` lies on.

    `img` is its name; True for the one of the highest resolution, None for that if there is one, False for none.
    """
    if not (img is None or isinstance(img, bool | str)):
        msg = f"img must be True, False, None or the name of an image, found {img!r} ({type(img).__name__})"
        raise TypeError(msg)
    if img is False:
        return None
    try:
        library = _library(spatial, section)
        found = _read(library, None if img is True else img)
        _check_overlap(box, found.box)
    except (KeyError, ValueError):
        if img is None:  # not asked for
            return None
        raise
    _warn_of_scaled(library, box)
    return found


def draw_underlay(axis: "Axes", underlay: Underlay, alpha: float, *, above: bool = False) -> None:
    """Draw an image below everything else, or `above` it, in axes whose limits are set."""
    left, right, top, bottom = underlay.box
    pixels = underlay.pixels
    if pixels.ndim == 3 and pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        pixels = pixels / np.iinfo(pixels.dtype).max  # colours of matplotlib are bytes, or 0 to 1
    image = axis.imshow(pixels, cmap="gray", extent=(left, right, bottom, top), alpha=alpha, zorder=2 if above else -1)
    image.set_in_layout(False)


def _library(spatial: object, section: str | None) -> Mapping[str, Any]:
    # Other entries stand beside the libraries, such as CELLxGENE's "is_single".
    libraries = {
        name: entry
        for name, entry in (spatial.items() if isinstance(spatial, Mapping) else ())
        if isinstance(entry, Mapping) and ("images" in entry or "scalefactors" in entry)
    }
    if not libraries:
        msg = (
            "no image found: adata.uns['spatial'] has no entry that holds 'images' and 'scalefactors'; read the "
            "section together with its image (squidpy.read.visium), or pass img=False"
        )
        raise KeyError(msg)
    if section is None and len(libraries) > 1:
        msg = (
            f"adata.uns['spatial'] holds images of several sections ({few(libraries)}) and adata is one section "
            "without a name; keep only its own entry, or pass library_key= to s2s.pp.grid"
        )
        raise ValueError(msg)
    if section is not None and section not in libraries:
        msg = f"no image of section {section!r} found; adata.uns['spatial'] has: {few(libraries)}; pass img=False"
        raise KeyError(msg)
    found = libraries[next(iter(libraries)) if section is None else section]
    return {"images": found.get("images") or {}, "scalefactors": found.get("scalefactors") or {}}


def _read(library: Mapping[str, Any], name: str | None) -> Underlay:
    images, scales = library["images"], library["scalefactors"]
    if name is None:
        name = next((known for known in ("hires", "lowres") if known in images), next(iter(images), "hires"))
    if name not in images:
        msg = f"image {name!r} not found in adata.uns['spatial'], which has: {few(images) or 'none'}; pass img=False"
        raise KeyError(msg)
    key = f"tissue_{name}_scalef"
    if scales.get(key) is None:
        msg = f"scale factor {key!r} of image {name!r} not found; adata.uns['spatial'] has: {few(scales) or 'none'}"
        raise KeyError(msg)
    pixels = np.asarray(images[name])
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))) or 0 in pixels.shape:
        msg = f"image {name!r} must have shape (height, width), with 3 or 4 colours if any, found {pixels.shape}"
        raise ValueError(msg)
    height, width = pixels.shape[:2]
    scale = check_positive(f"scale factor {key!r}", float(scales[key]))
    # Pixel 0 is centred at coordinate 0, as scanpy and squidpy draw it.
    left, right, top, bottom = (float(edge) / scale for edge in (-0.5, width - 0.5, -0.5, height - 0.5))
    return Underlay(pixels, (left, right, top, bottom))


def _check_overlap(section: "Box", image: "Box") -> None:
    if section[0] < image[1] and section[1] > image[0] and section[2] < image[3] and section[3] > image[2]:
        return
    at, below = ("x {:.4g} to {:.4g}, y {:.4g} to {:.4g}".format(*box) for box in (section, image))
    msg = (
        f"the section ({at}) lies beside its image ({below}); coordinates must be in pixels of the full image: rescale "
        "them, or pass img=False"
    )
    raise ValueError(msg)


def _warn_of_scaled(library: Mapping[str, Any], box: "Box") -> None:
    """Warn of coordinates that were scaled to an image already, and would be scaled to it once more."""
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
