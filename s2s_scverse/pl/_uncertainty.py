from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.colors import Colormap

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_measured, read_section, read_values
from .._checks import check_genes, check_name
from ._figure import GivenAxes, Shown
from ._maps import GeneRow, Look, Maps, Panel, colour_limits, draw_maps, read_imputed

__all__ = ["uncertainty", "uncertainty_data"]


def uncertainty(
    adata: AnnData,
    genes: str | Sequence[str],
    *,
    key: str = _keys.UNS,
    library_id: str | None = None,
    unit: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
    cmap: str | Colormap = "viridis",
    std_cmap: str | Colormap = "magma",
    img: bool | str = False,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw imputed genes and their standard deviations at every site.

    A row per gene: imputed, with the gene's reliability (the Pearson correlation expected at unmeasured sites) |
    standard deviation, with its median over unmeasured sites relative to the standard deviation of the measured
    values: near 1, little more is known than their mean. Measured spots have no uncertainty and are grey, or show the
    image. Sites are drawn as in :func:`s2s_scverse.pl.compare`.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    genes
        Genes to draw.
    key
        Name of the run (its `key_added`).
    vmin, vmax
        Limits of the colours of expression, as in :func:`s2s_scverse.pl.compare`. Those of standard deviations run
        from 0 to their 99th percentile, so a gene that is equally uncertain everywhere has one colour.
    cmap, std_cmap
        Colour maps of values and of standard deviations.
    library_id, unit, img, img_alpha, alpha, title, figsize, rasterized, axes, show, return_fig
        As in :func:`s2s_scverse.pl.compare`.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_genes, 2).

    Raises
    ------
    KeyError
        If `adata` has no lattice, the run has no standard deviations, or a gene, the section or the image does not
        exist.
    ValueError
        If there are several sections and `library_id` does not say which, a gene was not imputed, no site is measured,
        the section lies beside its image, or limits or an opacity make no sense.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> [axis.get_title() for axis in s2s.pl.uncertainty(dense, "domain_1", show=False)[0]]
    ['imputed', 'standard deviation']
    """
    data = uncertainty_data(adata, genes, key=key, library_id=library_id, vmin=vmin, vmax=vmax)
    look = Look(unit, title, img, img_alpha, alpha, figsize, rasterized, axes, show, return_fig)
    return draw_maps(data, adata.uns.get("spatial"), {"expression": cmap, "SD": std_cmap}, look)


def uncertainty_data(
    adata: AnnData,
    genes: str | Sequence[str] | None,
    *,
    key: str = _keys.UNS,
    library_id: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
) -> Maps:
    """Collect imputed values and their standard deviations; see :func:`s2s_scverse.pl.uncertainty`."""
    adata, section = read_section(adata, library_id)
    columns = check_genes(adata, genes)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    layer = _keys.STD.format(key)
    if layer not in adata.layers:
        msg = (
            f"run {key!r} has no standard deviations (adata.layers has no {layer!r}); call s2s.tl.impute with "
            "uncertainty=True, on a section with unmeasured sites and at least 16 measured spots; without them, draw "
            "it with s2s.pl.compare"
        )
        raise KeyError(msg)
    source = find_source(adata, [key], None, argument="key")
    measured = read_measured(adata)
    seen = read_values(adata, measured, columns, layer=source)
    imputed = read_imputed(adata, key, columns)
    std = read_values(adata, np.ones(adata.n_obs, dtype=bool), columns, layer=layer, finite=False)
    std = np.where(std > 0, std, np.float32(np.nan))  # 0 at spots that keep what was measured
    unknown = ~measured & ~read_mask(adata, _keys.VISIBLE.format(key))
    reliability = adata.var.get(_keys.RELIABILITY.format(key), pd.Series(np.nan, adata.var_names)).astype(float)
    rows = []
    for i, gene in enumerate(adata.var_names[columns].astype(str)):
        expected, spread = reliability.iloc[columns[i]] + 0.0, float(seen[:, i].std(dtype=np.float64))
        trust = f"reliability {expected:.2f}".replace("-", "−") if np.isfinite(expected) else ""
        doubt, uncertain = std[unknown, i], std[np.isfinite(std[:, i]), i]
        known = np.isfinite(doubt)
        relative = f"median {np.median(doubt[known]) / spread:.2f} × spots' SD" if known.any() and spread > 0 else ""
        panels = Panel("imputed", imputed[:, i], note=trust), Panel("standard deviation", std[:, i], "SD", relative)
        most = float(np.percentile(uncertain, 99)) if len(uncertain) else 1.0
        rows.append(GeneRow(gene, panels, {"expression": colour_limits(seen[:, i], vmin, vmax), "SD": (0.0, most)}))
    return Maps(section, tuple(rows), source is None and "log1p" in adata.uns)
