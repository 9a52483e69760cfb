from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._checks import check_adata, check_genes, check_layer, check_points
from .._runs import find_runs
from .._section import choose_section, read_lattice, read_mask, read_values

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["at"]


def at(
    adata: "AnnData",
    points: "NDArray[np.floating] | AnnData",
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = _keys.UNS,
    spatial_key: str = _keys.SPATIAL,
    library: str | None = None,
) -> "pd.DataFrame":
    """Read values at any points of a section, for example to carry those of bins back to their cells.

    Every point gets the values of the site that is nearest on the lattice. For bins that were not made denser
    (``upsample=1``) that is the bin the cell is in; else it is a site of the dense lattice, with values if imputed.

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
        Key of ``points.obsm`` with x and y, if `points` is an AnnData.
    library
        Which section the points are in, if `adata` holds several.

    Returns
    -------
    One row a point (named as the cells, if `points` is an AnnData), one column a gene; float32. NaN where there is no
    value: at points outside the tissue, and at unmeasured sites unless imputed.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, the layer, the section or the coordinates do not exist.
    TypeError, ValueError
        If `points` are no finite coordinates, or `adata` holds several sections and `library` does not say which.

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
    section = choose_section(adata, library)
    lattice = read_lattice(section)
    check_layer(section, layer)
    site = lattice.find(lattice.nearest(coordinates))
    imputed = layer in find_runs(section)
    if not imputed:
        site[(site >= 0) & ~read_mask(section, _keys.MEASURED)[site]] = -1
    read = np.unique(site[site >= 0])
    here = np.zeros(section.n_obs, dtype=bool)
    here[read] = True
    values = np.full((len(coordinates), len(columns)), np.nan, dtype=np.float32)
    found = read_values(section, here, columns, layer=layer, finite=not imputed)
    values[site >= 0] = found[np.searchsorted(read, site[site >= 0])]
    return pd.DataFrame(values, index=names, columns=section.var_names[columns])
