from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import _keys
from .._adata import find_runs, read_mask, read_section, read_values
from .._checks import check_coordinates, check_genes, check_layer, check_points

REACH = 0.71  # largest distance of a point from its site, in spot spacings: half the diagonal of a square bin


def at(
    adata: AnnData,
    points: NDArray[np.floating] | AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = _keys.UNS,
    spatial_key: str = _keys.SPATIAL,
    library_id: str | None = None,
) -> pd.DataFrame:
    """Return values at arbitrary points of a section, for example at the cells of bins.

    Every point gets the values of the nearest site within 0.71 spot spacings (the distance from the centre of a bin to
    its corner): of all sites for imputed layers, of spots or bins for X and other layers.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    points
        x and y in the units of ``adata.obsm['spatial']``, (n, 2), or an AnnData of n cells.
    genes
        Genes to read, all by default.
    layer
        Layer to read, X if None. Only imputed layers have values at unmeasured sites.
    spatial_key
        Key of ``obsm`` with x and y in `adata` and, if it is an AnnData, in `points`.
    library_id
        Section of the points, if `adata` holds several.

    Returns
    -------
    float32 table with one row per point (named as the cells of an AnnData) and one column per gene. NaN outside the
    tissue and, unless imputed, in unmeasured bins.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, the layer, the section or the coordinates do not exist.
    TypeError, ValueError
        If `points` are not finite coordinates, or one of several sections must be selected.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> cells = s2s.datasets.simulated_tissue(lattice="cells", n_rows=20, n_cols=20, n_genes=6)
    >>> dense = s2s.pp.grid(cells, bin_size=100, upsample=1)
    >>> s2s.get.at(dense, cells, layer=None).shape == cells.shape
    True
    """
    adata, section = read_section(adata, library_id)
    lattice, measured = section.lattice, section.measured
    columns = check_genes(adata, genes)
    coordinates, names = check_points(points, spatial_key)
    check_layer(adata, layer)
    imputed = layer in find_runs(adata)
    known = spatial_key != _keys.SPATIAL or _keys.SPATIAL in adata.obsm
    at = check_coordinates(adata, spatial_key) if known else lattice.coordinates
    spots = measured | read_mask(adata, _keys.HELD_OUT)
    stride = lattice.stride(spots)
    on_spots = ((lattice.index - lattice.index[spots][0]) % stride == 0).all(axis=1)
    among = np.flatnonzero(on_spots | imputed)
    distance, nearest = cKDTree(at[among]).query(coordinates)
    # A cell on the edge between two bins is assigned as in pp.grid.
    laid = lattice.subset(among).coarsened(1 if imputed else stride)
    own = laid.find(laid.nearest(coordinates))
    tied = np.linalg.norm(at[among][own] - coordinates, axis=1) <= distance + 1e-6 * lattice.pitch
    site = among[np.where((own >= 0) & tied, own, nearest)]
    site[distance > REACH * stride * lattice.pitch] = -1
    if not imputed:
        site[(site >= 0) & ~measured[site]] = -1
    read = np.isin(np.arange(adata.n_obs), site)
    values = np.full((len(coordinates), len(columns)), np.nan, dtype=np.float32)
    of_sites = read_values(adata, read, columns, layer=layer, finite=not imputed)
    values[site >= 0] = of_sites[np.cumsum(read)[site[site >= 0]] - 1]
    return pd.DataFrame(values, index=names, columns=adata.var_names[columns])
