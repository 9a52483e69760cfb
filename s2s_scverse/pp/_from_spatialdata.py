import logging
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_name, few
from .._image import image_levels
from .._spatialdata import find_image, import_spatialdata, read_levels

log = logging.getLogger(__name__)

SIDE = 2000  # pixels along the longer side of a region, to which images are reduced


def from_spatialdata(
    sdata: Any, *, table: str = "table", coordinate_system: str = "global", spatial_key: str = _keys.SPATIAL
) -> AnnData:
    """Return a table of a SpatialData object, with coordinates and images of the elements that it annotates.

    :func:`s2s_scverse.get.spatialdata` with ``into=sdata`` adds the imputed section to the object.

    Parameters
    ----------
    sdata
        A :class:`spatialdata.SpatialData`.
    table
        Name of a table that annotates shapes, points or labels. If it annotates several regions, pass its region column
        as `library_key` to :func:`s2s_scverse.pp.grid`.
    coordinate_system
        Coordinate system of x and y.
    spatial_key
        Key of ``obsm`` to write.

    Returns
    -------
    A copy of the table, with the centroids of spots or cells in ``obsm[spatial_key]``, (n_obs, 2), and a reduced image
    of each region in ``uns["spatial"][region]`` unless there are images already. Images that are rotated or translated
    in `coordinate_system` cannot be stored there: pass `sdata` to :func:`s2s_scverse.pp.image_features`.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If the table, or an element that it annotates, does not exist.
    TypeError, ValueError
        If `sdata` is not a SpatialData, the table annotates nothing, or observations are missing in the elements.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6))
    >>> sdata = s2s.get.spatialdata(dense)  # doctest: +SKIP
    >>> s2s.pp.from_spatialdata(sdata).shape == dense.shape  # doctest: +SKIP
    True
    """
    spatialdata = import_spatialdata()
    if not isinstance(sdata, spatialdata.SpatialData):
        msg = f"expected a SpatialData, found {type(sdata).__name__}"
        raise TypeError(msg)
    for name, value in (("table", table), ("coordinate_system", coordinate_system), ("spatial_key", spatial_key)):
        check_name(name, value)
    if table not in sdata.tables:
        msg = f"table {table!r} not found; the SpatialData has: {few(sdata.tables) or 'no table'}"
        raise KeyError(msg)
    adata: AnnData = sdata.tables[table].copy()
    attributes = adata.uns.get(spatialdata.models.TableModel.ATTRS_KEY)
    if attributes is None:
        msg = f"table {table!r} annotates no element, so its observations have no coordinates"
        raise ValueError(msg)
    regions = adata.obs[attributes["region_key"]].astype(str).to_numpy()
    instances = adata.obs[attributes["instance_key"]].to_numpy()
    coordinates = np.full((adata.n_obs, 2), np.nan)
    libraries = {}
    for region in dict.fromkeys(regions):
        if region not in sdata:
            msg = f"table {table!r} annotates {region!r}, which the SpatialData does not have"
            raise KeyError(msg)
        centroids = spatialdata.get_centroids(sdata[region], coordinate_system=coordinate_system).compute()
        here = regions == region
        place = centroids.index.get_indexer(instances[here])
        if (place < 0).any():
            msg = f"{int((place < 0).sum())} observations of table {table!r} are missing in {region!r}"
            raise ValueError(msg)
        coordinates[here] = centroids[["x", "y"]].to_numpy()[place]
        if (library := _library(sdata, coordinate_system, coordinates[here], region)) is not None:
            libraries[region] = library
    adata.obsm[spatial_key] = coordinates
    if libraries and "spatial" not in adata.uns:
        adata.uns["spatial"] = libraries
    return adata


def _library(
    sdata: Any, coordinate_system: str, coordinates: NDArray[np.float64], region: str
) -> dict[str, Any] | None:
    """Return an entry of ``uns["spatial"]`` with the image of a region; None if there is none."""
    try:
        name = find_image(sdata, coordinate_system, coordinates, region)
    except KeyError:
        return None
    extent = float(np.ptp(coordinates, axis=0).max())
    image = image_levels(read_levels(sdata.images[name], coordinate_system), pixel=extent / SIDE)
    # Images of scanpy have a single scale factor, and their first pixel at the origin.
    if np.abs(image.to_pixels[:2] - image.scale * np.eye(2, 3)).max(axis=0) @ [extent, extent, 1] > 2 or (
        image.pixels.shape[2] not in (1, 3, 4)
    ):
        log.info("image %r is not copied to uns['spatial']; pass the SpatialData to s2s.pp.image_features", name)
        return None
    log.info("image %r is copied to uns['spatial'][%r]", name, region)
    pixels = image.pixels[:]
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": image.scale}, "metadata": {}}
