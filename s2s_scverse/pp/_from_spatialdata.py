from typing import Any

import numpy as np
from anndata import AnnData

from .. import _keys
from .._checks import check_name, few
from .._spatialdata import import_spatialdata

__all__ = ["from_spatialdata"]


def from_spatialdata(
    sdata: Any, *, table: str = "table", coordinate_system: str = "global", spatial_key: str = _keys.SPATIAL
) -> AnnData:
    """Copy a table from a SpatialData object, with the coordinates of the elements that it annotates.

    Add the dense section to the object's images with ``s2s.get.spatialdata(dense, into=sdata)``.

    Parameters
    ----------
    sdata
        A :class:`spatialdata.SpatialData`. Not changed.
    table
        Name of the table. It must annotate shapes, points or labels. If it annotates several regions, pass its region
        column as `library_key` to :func:`s2s_scverse.pp.grid`.
    coordinate_system
        Coordinate system in which x and y are given.
    spatial_key
        Key of ``obsm`` to write.

    Returns
    -------
    A copy of the table, with the centroids of spots or cells in ``obsm[spatial_key]``, of shape (n_obs, 2).

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If there is no such table, or no element that it annotates.
    TypeError, ValueError
        If `sdata` is no SpatialData, the table annotates nothing, or observations are missing in the elements.

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
    for region in dict.fromkeys(regions):
        if region not in sdata:
            msg = f"table {table!r} annotates {region!r}, which the SpatialData does not have"
            raise KeyError(msg)
        centroids = spatialdata.get_centroids(sdata[region], coordinate_system=coordinate_system).compute()
        if not centroids.index.is_unique:
            msg = f"the instances of {region!r} are not unique, so the table's observations cannot be found in it"
            raise ValueError(msg)
        here = regions == region
        place = centroids.index.get_indexer(instances[here])
        if (place < 0).any():
            msg = f"{int((place < 0).sum())} observations of table {table!r} are missing in {region!r}"
            raise ValueError(msg)
        coordinates[here] = centroids[["x", "y"]].to_numpy()[place]
    adata.obsm[spatial_key] = coordinates
    return adata
