import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _image, _keys
from .._adata import GeneMatrix, check_copy, most_variable, read_sections, write_image_features
from .._checks import (
    check_adata,
    check_choice,
    check_coordinates,
    check_int,
    check_layer,
    check_name,
    check_positive,
    few,
)
from .._lattice import SectionOnLattice
from .._spatialdata import find_image, read_levels

log = logging.getLogger(__name__)

SUFFICIENT = 48  # pixels per spot spacing, to which lazy images are reduced
N_GENES = 200  # number of most variable genes for the check of the registration


def image_features(
    adata: AnnData,
    img: Any = None,
    *,
    extractor: str | Callable[[NDArray[Any]], Any] = "stain",
    scales: Sequence[float] = (0.15, 0.3, 0.6),
    transform: float | NDArray[Any] | None = None,
    coordinate_system: str = "global",
    patch_size: int = 64,
    batch_size: int = 256,
    layer: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    key_added: str = _keys.IMAGE_FEATURES,
    copy: bool = False,
) -> AnnData | None:
    """Compute features of the tissue image at every site, measured or not.

    The features are covariates for :func:`s2s_scverse.tl.impute` and :func:`s2s_scverse.tl.interpolate`. Expression at
    measured spots is only used to check the registration: a warning is given if the image fits it better when shifted,
    mirrored, rotated or rescaled.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several.
    img
        The image: None for the one in ``uns["spatial"]`` (hires, else lowres), a file (PNG, JPEG, TIFF, OME-TIFF,
        .btf), an array (height, width), (height, width, channels) or (channels, height, width), an ImageContainer of
        squidpy, an image element of a SpatialData, or a :class:`spatialdata.SpatialData`. Of its images that contain
        the section, the one named after it is used, else one in colour, else the one with the highest resolution. TIFF
        files and images of a SpatialData are read lazily at a sufficient resolution. For several sections, pass a
        dictionary with an image for each name.
    extractor
        ``"stain"`` separates an RGB image into haematoxylin and eosin; ``"channels"`` uses the channels, such as DAPI,
        and applies to all images that are not RGB. Features of each channel are its local mean, standard deviation and
        texture (log standard deviation of fine structures), the latter as far as pixels resolve it. Alternatively, a
        function of patches (n, `patch_size`, `patch_size`, channels) that returns (n, n_features), such as a pathology
        foundation model.
    scales
        Standard deviations of the Gaussian windows, in units of the spot spacing of the array. Textures have
        windows of at least 0.2.
    transform
        Map from ``obsm["spatial"]`` to pixels (column, row) of a file or array: a scale factor (1 by default) or an
        affine matrix (2, 3) or (3, 3). Other images have their own.
    coordinate_system
        Coordinate system of ``obsm["spatial"]`` in a SpatialData.
    patch_size
        Side of the patches for a function, in pixels of the image at its highest resolution.
    batch_size
        Number of patches per call of a function.
    layer
        Layer with log-normalised values for the check of the registration, X by default.
    spatial_key
        Key of ``obsm`` with the coordinates, as for :func:`s2s_scverse.pp.grid`.
    key_added
        Key of ``obsm`` to write.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy. Sets the following fields:

    `.obsm[key_added]`
        float32 (n_obs, n_features). Sites outside the image, on blank background or under pen marks get the median of
        the others, with a warning.
    `.uns['s2s']['image'][key_added]`
        `names` of the features, parameters, and for each section `explained`, the cross-validated fraction of the
        differences between neighbouring spots (in leading principal components) that the features explain; NaN for
        fewer than 30 spots.

    Raises
    ------
    FileNotFoundError, KeyError
        If the file, image, coordinate system, lattice or layer does not exist.
    TypeError, ValueError
        If an argument is invalid, or all sites lie outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> import s2s_scverse as s2s
    >>> tissue = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> dense, dapi = s2s.pp.grid(tissue), np.zeros((400, 400))
    >>> column, row = (0.2 * tissue.obsm["spatial"]).astype(int).T
    >>> dapi[row, column] = tissue.to_df()["domain_1"]
    >>> s2s.pp.image_features(dense, dapi, transform=0.2)
    >>> dense.obsm["s2s_image"].shape == (dense.n_obs, 10)
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
    check_name("coordinate_system", coordinate_system)
    check_layer(adata, layer)
    check_copy(adata, copy=copy)
    xy, sections = check_coordinates(adata, spatial_key), read_sections(adata)
    by_section = isinstance(img, Mapping) and not hasattr(img, "children")  # a DataTree is one image
    if by_section and (without := [section.name for section in sections if section.name not in img]):
        which = "the section, which has no name" if without == [None] else f"section {few(map(str, without))}"
        msg = f"img has no image of {which}; it has: {few(map(str, img))}"
        raise KeyError(msg)
    described: list[_image.Description] = []
    explained: list[float] = []
    outside = 0
    grid = adata.uns[_keys.UNS][_keys.GRID]
    for section in sections:
        coordinates = xy[section.rows]
        # The stride of the array's spots does not change when spots are held out.
        spacing = section.lattice.pitch * int(grid.get(_keys.SECTIONS, {}).get(section.name, grid)["stride"])
        given = img[str(section.name)] if by_section else img
        place = partial(_placed, adata, section, given, transform, coordinate_system, coordinates)
        image = place(spacing / SUFFICIENT)
        maps = _image.FeatureMaps(image, spacing * image.scale, widths, stain=extractor != "channels")
        spots = coordinates[section.measured]
        values = _read_values(adata, section, layer)
        _warn_of_misfit(adata, section, maps, spots, spacing, values)
        if callable(extractor):
            description = _image.cut_patches(place(None), coordinates, extractor, side, batch_size)
        else:
            description = maps.describe(coordinates)
        described.append(description)
        outside += int(image.outside(coordinates).sum())
        at_spots = description.features[section.measured], description.missing[section.measured]
        explained.append(_image.explained_locally(*at_spots, spots, values))
    # Textures that the pixels of a section do not resolve are omitted.
    names = [name for name in described[0].names if all(name in each.names for each in described)]
    if any(name not in names and _image.TEXTURE not in name for each in described for name in each.names):
        msg = f"images of all sections must have the same channels, found {[len(each.names) for each in described]}"
        raise ValueError(msg)
    features, missing = np.empty((adata.n_obs, len(names)), np.float32), np.zeros(adata.n_obs, bool)
    for section, each in zip(sections, described, strict=True):
        features[section.rows] = each.features[:, [each.names.index(name) for name in names]]
        missing[section.rows] = each.missing
    _warn_of_missing(missing, min(outside, int(missing.sum())))
    for section in sections:
        if missing[section.rows].all():
            features[section.rows] = np.median(features[~missing], axis=0)
    run = {
        "names": np.array(names, dtype=object),
        "scales": np.array(widths),
        "extractor": "function" if callable(extractor) else extractor,
        "explained": np.array(explained),
    }
    log.info("%d image features of %d sites in obsm[%r]", len(names), adata.n_obs, key_added)
    return write_image_features(adata, key_added, features, run, copy=copy)


def _placed(
    adata: AnnData,
    section: SectionOnLattice,
    img: Any,
    transform: Any,
    coordinate_system: str,
    coordinates: NDArray[np.float64],
    pixel: float | None,
) -> _image.PlacedImage:
    """Return the image of a section with its location, at a pixel size of at most `pixel`; None for the smallest."""
    # Images of a SpatialData have transformations, a DataTree or a DataArray with this attribute.
    element = hasattr(img, "children") or "transform" in getattr(img, "attrs", ())
    if transform is not None and (img is None or hasattr(img, "images") or element):
        msg = "transform is for files and arrays; images in uns['spatial'] and of a SpatialData have their own"
        raise ValueError(msg)
    if img is None:
        library = _image.find_library(adata.uns.get("spatial"), section.name, "pass img=")
        return _image.library_image(library, None, "pass img=")
    if hasattr(img, "images"):
        img, element = img.images[find_image(img, coordinate_system, coordinates, section.name)], True
    if element:
        return _image.image_levels(read_levels(img, coordinate_system), pixel)
    matrix = np.asarray(1.0 if transform is None else transform)
    if matrix.ndim == 0 and matrix.dtype.kind in "fiu":
        matrix = np.diag([check_positive("transform", float(matrix)), float(matrix), 1.0])
    if matrix.shape not in ((2, 3), (3, 3)) or not np.isfinite(matrix).all() or not np.linalg.det(matrix[:2, :2]):
        msg = f"transform must be a scale factor or an invertible affine matrix (2, 3) or (3, 3), found {transform!r}"
        raise ValueError(msg)
    if isinstance(img, str | PathLike):
        return _image.image_file(img, matrix, pixel)
    return _image.PlacedImage(_image.channels_last(img), matrix)


def _read_values(adata: AnnData, section: SectionOnLattice, layer: str | None) -> NDArray[np.float32]:
    """Return log-normalised values of the most variable genes at measured spots, (n_spots, n_genes)."""
    if not section.measured.any():
        return np.empty((0, 0), np.float32)
    seen = np.isin(np.arange(adata.n_obs), section.spots)
    matrix = GeneMatrix(adata, seen, np.arange(adata.n_vars), layer=layer)
    columns, counts = most_variable(matrix, [np.arange(len(section.spots))], np.zeros(adata.n_vars, bool), N_GENES)
    values = matrix.read(columns, finite=False)
    return np.log1p(values) if counts else values


def _warn_of_misfit(
    adata: AnnData,
    section: SectionOnLattice,
    maps: _image.FeatureMaps,
    spots: NDArray[np.float64],
    spacing: float,
    values: NDArray[np.float32],
) -> None:
    """Warn if the image fits the measured spots better in another location."""
    inverse = np.linalg.inv(np.vstack([maps.image.to_pixels[:2], [0, 0, 1]]))
    height, width = maps.image.shape
    corners = np.array([[0, 0, 1], [width - 1, height - 1, 1]]) @ inverse.T
    box = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    scales = {1.0}
    with suppress(KeyError, ValueError):
        known = _image.find_library(adata.uns.get("spatial"), section.name, "")["scalefactors"]
        scales |= {float(value) for name, value in known.items() if name.endswith("_scalef") and value}
    # The scale factor of another image, or coordinates that were scaled to an image already.
    tried = {scale / maps.image.scale for scale in scales} | {1 / scale for scale in scales}
    factors = sorted({round(factor, 6) for factor in tried if abs(np.log(factor)) > 0.05})
    if (misfit := _image.check_registration(maps.sample, spots, values, spacing, box, factors)) is not None:
        where = "" if section.name is None else f" of section {section.name!r}"
        better = f"explained variance {misfit.explained_there:.3f} instead of {misfit.explained_here:.3f}"
        msg = f"the image{where} fits better if coordinates are {misfit.place} ({better}); check obsm['spatial']"
        warnings.warn(msg, UserWarning, stacklevel=3)


def _warn_of_missing(missing: NDArray[np.bool_], outside: int) -> None:
    n, blank = len(missing), int(missing.sum()) - outside
    causes = {
        "outside the image (check obsm['spatial'], and its scale factor or transform=)": outside,
        "on blank or dark background or under pen marks (for a fluorescence image, pass extractor='channels')": blank,
    }
    amounts = {cause: "all" if number == n else f"{number} of {n}" for cause, number in causes.items() if number}
    found = " and ".join(f"{amount} sites lie {cause}" for cause, amount in amounts.items())
    if missing.all():
        raise ValueError(found)
    if found:
        warnings.warn(f"{found}; they get the median of the others", UserWarning, stacklevel=3)
