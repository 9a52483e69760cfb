from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from .._adata import GENE_BLOCK, find_runs, read_section, read_values
from .._checks import check_genes, check_layer

if TYPE_CHECKING:
    import xarray as xr


def image(
    adata: AnnData, genes: str | Sequence[str] | None = None, *, layer: str | None = None, library_id: str | None = None
) -> "xr.DataArray":
    """Return a section as an image with genes as channels.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    genes
        Genes to show, all by default.
    layer
        Layer to show, X by default. Only imputed layers have values at unmeasured sites.
    library_id
        Section to show, if `adata` holds several.

    Returns
    -------
    float32 array with dimensions (gene, row, col); NaN outside the tissue and, unless imputed, at unmeasured sites.
    Coordinates are ``gene``; ``tissue`` and ``measured``, whether there is a site and a measured spot; and ``x`` and
    ``y`` in the units of ``obsm["spatial"]``, (row, col) each. On hex and quincunx lattices, row and col are the axial
    coordinates u and v.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, the layer or the section does not exist.
    ValueError
        If one of several sections must be selected by `library_id`.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=1)
    >>> s2s.get.image(dense).dims
    ('gene', 'row', 'col')
    """
    import xarray as xr

    adata, section = read_section(adata, library_id)
    lattice, columns = section.lattice, check_genes(adata, genes)
    check_layer(adata, layer)
    measured = section.measured
    imputed = layer in find_runs(adata)
    shown = np.ones(adata.n_obs, dtype=bool) if imputed else measured
    height, width = lattice.shape
    tensor = np.full((len(columns), height * width), np.nan, dtype=np.float32)
    for start in range(0, len(columns), GENE_BLOCK):
        block = slice(start, start + GENE_BLOCK)
        values = read_values(adata, shown, columns[block], layer=layer, finite=not imputed)
        tensor[block, lattice.position[shown]] = values.T
    cover = np.zeros((2, height * width), dtype=bool)
    cover[0, lattice.position] = cover[1, lattice.position[measured]] = True
    tissue, spots = cover.reshape(2, height, width)
    at = lattice.origin + (np.moveaxis(np.indices(lattice.shape), 0, -1) + lattice.lower) @ lattice.basis
    plane = ("row", "col")
    return xr.DataArray(
        tensor.reshape(len(columns), height, width),
        dims=("gene", *plane),
        coords={
            "gene": np.asarray(adata.var_names[columns], dtype=str),
            "tissue": (plane, tissue),
            "measured": (plane, spots),
            "x": (plane, at[..., 0]),
            "y": (plane, at[..., 1]),
        },
        name=layer or "X",
    )
