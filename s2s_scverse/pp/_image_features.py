import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import GeneMatrix, Survey, read_sections
from .._checks import check_adata, check_choice, check_int, check_layer, check_name, check_positive, few
from .._image import (
    Description,
    FeatureMaps,
    PlacedImage,
    check_registration,
    cut_patches,
    find_library,
    image_file,
    library_image,
)
from .._lattice import SectionOnLattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["image_features"]

log = logging.getLogger(__name__)

N_GENES = 200
"""Number of most variable genes that the registration is checked with."""


def image_features(
    adata: "AnnData",
    img: "str | PathLike[str] | NDArray[Any] | Mapping[str, Any] | None" = None,
    *,
    extractor: "str | Callable[[NDArray[Any]], Any]" = "stain",
    scales: Sequence[float] = (0.3, 0.6),
    transform: "float | NDArray[Any] | None" = None,
    patch_size: int = 64,
    batch_size: int = 256,
    layer: str | None = None,
    key_added: str = _keys.IMAGE_FEATURES,
    copy: bool = False,
) -> "AnnData | None":
    """Describe what the image of the tissue shows at every site, measured or not.

    The descriptors are covariates for :func:`s2s_scverse.tl.impute` and :func:`s2s_scverse.tl.interpolate`. Expression
    is used only to check the registration of ``"stain"`` and ``"channels"``: a warning says if the image fits the
    measured spots clearly better shifted, mirrored, turned or at another scale.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several.
    img
        The image: None for the one in ``uns["spatial"]`` (hires, else lowres), a file (PNG, JPEG, TIFF, OME-TIFF,
        .btf; of pyramids the level that suffices is read), or an array (height, width) or (height, width, channels).
        Of several sections, a dictionary with the name of each.
    extractor
        ``"stain"`` separates an RGB image into haematoxylin and eosin; ``"channels"`` takes the channels as they are,
        such as DAPI, and is also used for images that are not RGB. Each channel gives its mean and its standard
        deviation around every site. Or a function of patches (n, `patch_size`, `patch_size`, channels) that returns
        (n, n_features), such as a pathology foundation model.
    scales
        Widths of the surroundings: standard deviations of Gaussians, in distances of neighbouring spots of the array.
    transform
        From ``obsm["spatial"]`` to pixels (column, row) of `img`: a scale factor or an affine matrix (2, 3) or (3, 3).
        1 by default for files and arrays; images in ``uns["spatial"]`` have their own.
    patch_size
        Side of the patches for a function, in pixels of the image at its highest resolution.
    batch_size
        Number of patches given to a function at a time.
    layer
        Log-normalised values for the check of the registration, X by default.
    key_added
        Key of ``obsm`` to write.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    `None`, or the copy. Sets the following fields:

    `.obsm[key_added]`
        float32 (n_obs, n_features). Sites off the image, on blank background or under pen marks get the median of the
        others; a warning says how many.
    `.uns['s2s']['image'][key_added]`
        `names` of the features, and the parameters.

    Raises
    ------
    FileNotFoundError, KeyError
        If there is no such file, no image, no lattice, or no such layer.
    TypeError, ValueError
        If an argument is of a wrong type or out of bounds, or all sites lie off the image.

    Examples
    --------
    >>> import numpy as np
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6))
    >>> dapi = np.random.default_rng(0).random((400, 400))
    >>> s2s.pp.image_features(dense, dapi, transform=0.2)
    >>> dense.obsm["s2s_image"].shape == (dense.n_obs, 4)
    True
    """
    check_adata(adata)
    if not callable(extractor):
        check_choice("extractor", extractor, ("stain", "channels"))
    if isinstance(scales, int | float) or not len(scales):
        msg = f"scales must be a sequence of positive numbers, found {scales!r}"
        raise ValueError(msg)
    widths = [check_positive("scales", scale) for scale in scales]
    side, batch_size = check_int("patch_size", patch_size, least=1), check_int("batch_size", batch_size, least=1)
    check_name("key_added", key_added)
    check_layer(adata, layer)
    sections = read_sections(adata)
    if isinstance(img, Mapping):
        missing = [section.name for section in sections if section.name not in img]
        if missing:
            msg = f"img has no image of section {few(map(str, missing))}; it has: {few(map(str, img))}"
            raise KeyError(msg)
    described: list[Description] = []
    for section in sections:
        coordinates = np.asarray(adata.obsm[_keys.SPATIAL], np.float64)[section.rows, :2]
        spacing = section.lattice.pitch * _stride(adata, section.name)
        given = img[str(section.name)] if isinstance(img, Mapping) else img
        image = _placed(adata, section, given, transform, None if callable(extractor) else spacing)
        if callable(extractor):
            described.append(cut_patches(image, coordinates, extractor, side, batch_size))
            continue
        maps = FeatureMaps(image, spacing * image.scale, widths, stain=extractor == "stain")
        described.append(maps.describe(coordinates))
        _warn_of_misfit(adata, section, maps, coordinates, spacing, layer)
    _warn_of_missing(sections, described)
    names = described[0].names
    features = np.empty((adata.n_obs, len(names)), np.float32)
    for section, each in zip(sections, described, strict=True):
        features[section.rows] = each.features
    adata = adata.copy() if copy else adata
    adata.obsm[key_added] = features
    entry = dict(adata.uns.get(_keys.UNS, {}))
    how = "function" if callable(extractor) else extractor
    run = {"names": np.array(names, dtype=object), "scales": np.array(widths), "extractor": how}
    entry[_keys.IMAGE] = {**entry.get(_keys.IMAGE, {}), key_added: run}
    adata.uns[_keys.UNS] = entry
    log.info("%d image features of %d sites in obsm[%r]", len(names), adata.n_obs, key_added)
    return adata if copy else None


def _stride(adata: "AnnData", name: str | None) -> int:
    """Return how many sites lie between neighbouring spots of the array: spots do not grow when some are held out."""
    grid = adata.uns[_keys.UNS][_keys.GRID]
    entry = grid if name is None else grid[_keys.SECTIONS][name]
    return int(entry.get("stride", 1))


def _placed(
    adata: "AnnData", section: SectionOnLattice, img: Any, transform: Any, spacing: float | None
) -> PlacedImage:
    """Return the image of a section with its place."""
    if img is None:
        library = find_library(adata.uns.get("spatial"), section.name, "pass img=")
        return library_image(library, None, "pass img=")
    matrix = np.eye(3) if transform is None else np.asarray(transform, np.float64)
    if matrix.ndim == 0:
        matrix = np.diag([check_positive("transform", float(matrix)), float(matrix), 1.0])
    if matrix.shape not in ((2, 3), (3, 3)) or not np.isfinite(matrix).all() or not np.linalg.det(matrix[:2, :2]):
        msg = f"transform must be a scale factor or an invertible affine matrix (2, 3) or (3, 3), found {transform!r}"
        raise ValueError(msg)
    if isinstance(img, str | PathLike):
        return image_file(img, matrix, spacing)
    pixels = img if hasattr(img, "shape") else np.asarray(img)
    if len(pixels.shape) not in (2, 3) or 0 in pixels.shape:
        msg = f"img must have shape (height, width) or (height, width, channels), found {pixels.shape}"
        raise ValueError(msg)
    return PlacedImage(pixels, matrix)


def _warn_of_misfit(
    adata: "AnnData",
    section: SectionOnLattice,
    maps: FeatureMaps,
    coordinates: NDArray[np.float64],
    spacing: float,
    layer: str | None,
) -> None:
    """Warn if the image fits the measured spots better in another place."""
    seen = np.zeros(adata.n_obs, bool)
    seen[section.spots] = True
    if not seen.any():
        return
    matrix = GeneMatrix(adata, seen, np.arange(adata.n_vars), layer=layer)
    survey = Survey.of(matrix, [np.arange(int(seen.sum()))], np.zeros(adata.n_vars, bool))
    values = matrix.read(survey.most_variable(N_GENES), finite=False)
    values = np.log1p(values) if survey.counts else values
    inverse = np.linalg.inv(np.vstack([maps.image.to_pixels[:2], [0, 0, 1]]))
    height, width = maps.image.shape
    corners = np.array([[0, 0, 1], [width - 1, height - 1, 1]]) @ inverse.T
    box = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    scale = maps.image.scale
    factors = [factor for factor in {1 / scale, *_other_scales(adata, section, scale)} if abs(np.log(factor)) > 0.05]
    misfit = check_registration(maps.sample, coordinates[section.measured], values, spacing, box, sorted(factors))
    if misfit is not None:
        where = "" if section.name is None else f" of section {section.name!r}"
        warnings.warn(
            f"the image{where} fits the expression better if the coordinates are {misfit.place} (explained variance "
            f"{misfit.explained_there:.3f} instead of {misfit.explained_here:.3f}); check obsm['spatial'], the scale "
            "factor, and whether the image was turned or mirrored",
            UserWarning,
            stacklevel=3,
        )


def _other_scales(adata: "AnnData", section: SectionOnLattice, scale: float) -> list[float]:
    """Scale factors of all images of a section, relative to the one used."""
    try:
        found = find_library(adata.uns.get("spatial"), section.name, "")["scalefactors"]
    except (KeyError, ValueError):
        return []
    return [float(value) / scale for name, value in found.items() if name.endswith("_scalef") and value]


def _warn_of_missing(sections: list[SectionOnLattice], described: list[Description]) -> None:
    total = sum(len(each.missing) for each in described)
    missing = sum(int(each.missing.sum()) for each in described)
    if missing == total:
        msg = (
            "all sites lie off the image or on blank background; check obsm['spatial'] and the scale factor, and pass "
            "extractor='channels' if the image is not stained but fluorescent"
        )
        raise ValueError(msg)
    if missing:
        warnings.warn(
            f"{missing} of {total} sites in {len(sections)} section(s) lie off the image, on blank background or under "
            "pen marks; they get the median of the others",
            UserWarning,
            stacklevel=3,
        )
