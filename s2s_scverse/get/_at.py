from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from .. import _keys
from .._adata import choose_section, find_runs, read_lattice, read_mask, read_values
from .._checks import check_adata, check_coordinates, check_genes, check_layer, check_points
from .._lattice import Lattice

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["at"]

REACH = 0.71
"""Largest distance of a point from its site, in spot spacings: half the diagonal of a square bin."""


def at(
    adata: "AnnData",
    points: "NDArray[np.floating] | AnnData",
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = _keys.UNS,
    spatial_key: str = _keys.SPATIAL,
    library_id: str | None = None,
) -> "pd.DataFrame":
    """Return values at any points of a section, for example those of bins at their cells.

    Every point gets the values of the nearest site within 0.71 spot spacings (the distance from the centre of a bin to
    its corner). For imputed layers all sites are used; for X and other layers the spots or bins, so a cell gets the
    values of its bin.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    points
        x and y in the units of ``adata.obsm['spatial']``, of shape (n, 2), or an AnnData of n cells.
    genes
        Genes to read, all by default.
    layer
        Layer to read, X if None. Only layers of :func:`s2s_scverse.tl.impute` or :func:`s2s_scverse.tl.interpolate`
        have values at unmeasured sites.
    spatial_key
        Key of ``obsm`` with x and y, of `adata` and, if `points` is an AnnData, of `points`.
    library_id
        Which section the points are in, if `adata` holds several.

    Returns
    -------
    One row per point (named as the cells, if `points` is an AnnData), one column per gene; float32. NaN at points
    outside the tissue and, unless imputed, in unmeasured bins.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, the layer, the section or the coordinates do not exist.
    TypeError, ValueError
        If `points` are no finite coordinates, or `adata` holds several sections and `library_id` does not say which.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> cells = s2s.datasets.simulated_tissue(lattice="cells", n_rows=20, n_cols=20, n_genes=6)
    >>> dense = s2s.pp.grid(cells, bin_size=100, upsample=1)
    >>> s2s.get.at(dense, cells, layer=None).shape == cells.shape
    True
    """
    import pandas as pd

    check_adata(adata)
    columns = check_genes(adata, genes)
    coordinates, names = check_points(points, spatial_key)
    section = choose_section(adata, library_id)
    lattice = read_lattice(section)
    check_layer(section, layer)
    imputed = layer in find_runs(section)
    measured = read_mask(section, _keys.MEASURED)
    at = check_coordinates(section, spatial_key) if spatial_key in section.obsm else lattice.coordinates
    site = _nearest(lattice, at, coordinates, measured | read_mask(section, _keys.HELD_OUT), dense=imputed)
    if not imputed:
        site[(site >= 0) & ~measured[site]] = -1
    read = np.isin(np.arange(section.n_obs), site)
    values = np.full((len(coordinates), len(columns)), np.nan, dtype=np.float32)
    of_sites = read_values(section, read, columns, layer=layer, finite=not imputed)
    values[site >= 0] = of_sites[np.cumsum(read)[site[site >= 0]] - 1]
    return pd.DataFrame(values, index=names, columns=section.var_names[columns])


def _nearest(
    lattice: Lattice,
    at: "NDArray[np.float64]",
    points: "NDArray[np.float64]",
    spots: "NDArray[np.bool_]",
    *,
    dense: bool,
) -> "NDArray[np.int64]":
    """Return the nearest of all sites, or of those on the lattice of the spots, (n_points,); -1 beyond reach."""
    stride = lattice.stride(spots)
    on_spots = ((lattice.index - lattice.index[spots][0]) % stride == 0).all(axis=1)
    among = np.flatnonzero(np.ones(len(lattice), dtype=bool) if dense else on_spots)
    distance, found = cKDTree(at[among]).query(points)
    # A cell on the edge of two bins belongs to the bin in which pp.grid counted it.
    laid = lattice.subset(among).coarsened(1 if dense else stride)
    own = laid.find(laid.nearest(points))
    tied = np.linalg.norm(at[among][own] - points, axis=1) <= distance + 1e-6 * lattice.pitch
    found = np.where((own >= 0) & tied, own, found)
    return np.where(distance <= REACH * stride * lattice.pitch, among[found], -1)
