"""Images of SpatialData objects; the package spatialdata is optional."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._checks import few


def import_spatialdata() -> Any:
    """Import spatialdata, or raise an ImportError with advice."""
    try:
        import spatialdata
        import spatialdata.models
        import spatialdata.transformations
    except ImportError as error:
        msg = f"this function needs the package spatialdata ({error}): pip install 's2s-scverse[spatialdata]'"
        raise ImportError(msg) from error
    return spatialdata


def read_levels(image: Any, coordinate_system: str) -> list[tuple[Any, NDArray[np.float64]]]:
    """Return the levels of an image: lazy arrays (channels, height, width) with the maps (3, 3) to their pixels."""
    transformations = import_spatialdata().transformations
    single = hasattr(image, "dims") and hasattr(image, "data")
    levels = [image] if single else [next(iter(image[name].data_vars.values())) for name in image]
    found = []
    for level in levels:
        known = transformations.get_transformation(level, get_all=True)
        if coordinate_system not in known:
            msg = f"coordinate system {coordinate_system!r} not found; the image is placed in: {few(known) or 'none'}"
            raise KeyError(msg)
        matrix = known[coordinate_system].to_affine_matrix(input_axes=("x", "y"), output_axes=("x", "y"))
        to_pixels = np.linalg.inv(matrix)
        to_pixels[:2, 2] -= 0.5  # the centre of the first pixel is at (0.5, 0.5)
        found.append((level.transpose("c", "y", "x").data, to_pixels))
    return found


def find_image(sdata: Any, coordinate_system: str, coordinates: NDArray[np.float64], section: str | None) -> str:
    """Return an image that contains most of the coordinates (n, 2), named after the section or coloured if any is."""
    candidates = []
    for name, image in sdata.images.items():
        try:
            array, to_pixels = read_levels(image, coordinate_system)[0]
        except KeyError:
            continue
        pixels = coordinates @ to_pixels[:2, :2].T + to_pixels[:2, 2]
        inside = ((pixels > -1) & (pixels < array.shape[:0:-1])).all(axis=1)
        named = section is not None and name.startswith(section)
        if inside.mean() > 0.5:
            candidates.append((named, array.shape[0] == 3, abs(np.linalg.det(to_pixels[:2, :2])), name))
    if not candidates:
        names = few(sdata.images) or "none"
        msg = f"no image shows the section in coordinate system {coordinate_system!r}; the images are: {names}"
        raise KeyError(msg)
    return str(max(candidates)[-1])
