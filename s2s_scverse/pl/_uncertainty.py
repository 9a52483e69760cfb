from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_values
from .._checks import check_adata, check_genes, check_name
from ._compare_data import check_imputed
from ._draw_maps import Look, draw_maps
from ._maps_data import GeneRow, Maps, Panel, check_percentiles, colour_limits, read_section, read_seen

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.colors import Colormap
    from numpy.typing import NDArray

    from ._figure import Shown

__all__ = ["uncertainty", "uncertainty_data"]


def uncertainty(
    adata: "AnnData",
    genes: str | Sequence[str],
    *,
    key: str = _keys.UNS,
    library_id: str | None = None,
    unit: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    cmap: "str | Colormap" = "viridis",
    std_cmap: "str | Colormap" = "magma",
    img: bool | str = False,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    panel_size: float = 2.0,
    rasterized: bool = False,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw imputed genes and how far to trust them, site by site.

    A row per gene: imputed, below the gene's reliability (the Pearson correlation expected at unmeasured sites) |
    standard deviation, below its median over unmeasured sites relative to the standard deviation of the measured
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
    library_id
        Which section to draw, if `adata` holds several.
    unit
        Unit of the values, for the colour bars. ``"log1p"`` by default if X was transformed by :func:`scanpy.pp.log1p`.
    percentiles
        Percentiles of a gene's measured values between which the colours of expression run, as in
        :func:`s2s_scverse.pl.compare`. Those of standard deviations run from 0 to the upper percentile of these, so a
        gene that is as uncertain everywhere is drawn in one colour.
    cmap
        Colour map of values.
    std_cmap
        Colour map of standard deviations.
    img
        Image of the tissue to draw below the sites: True for the one of the highest resolution in
        ``adata.uns["spatial"]``, or its name there. None by default.
    img_alpha
        Opacity of the image, 0 to 1.
    alpha
        Opacity of the sites on the image, 0 to 1.
    panel_size
        Size of a panel in inches (side of a square one).
    rasterized
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    show
        Whether to show the figure; by default as ``scanpy.settings.autoshow`` says.
    return_fig
        Return the figure, which is then not shown and unknown to pyplot.

    Returns
    -------
    Axes of the panels, an object array of shape (n_genes, 2); `None` if the figure is shown; the figure with
    `return_fig`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, the run has no standard deviations, or a gene, the section or the image does not
        exist.
    ValueError
        If there are several sections and `library_id` does not say which, a gene was not imputed, no site is measured, the
        section lies beside its image, or `percentiles`, `panel_size` or an opacity make no sense.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> adata = s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> [axes.get_title() for axes in s2s.pl.uncertainty(dense, "domain_1", show=False)[0]]
    ['imputed', 'standard deviation']
    """
    look = Look({"expression": cmap, "SD": std_cmap}, unit, panel_size, img, img_alpha, alpha, rasterized)
    data = uncertainty_data(adata, genes, key=key, library_id=library_id, percentiles=percentiles)
    return draw_maps(data, adata.uns.get("spatial"), look, show=show, return_fig=return_fig)


def uncertainty_data(
    adata: "AnnData",
    genes: str | Sequence[str] | None,
    *,
    key: str = _keys.UNS,
    library_id: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
) -> Maps:
    """Collect imputed values and their standard deviations; see :func:`s2s_scverse.pl.uncertainty`."""
    check_adata(adata)
    adata, section = read_section(adata, library_id)
    columns = check_genes(adata, genes)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    _check_std(adata, key)
    check_percentiles(percentiles)
    source = find_source(adata, [key], None, argument="key")
    measured, seen = read_seen(adata, columns, source)
    everywhere = np.ones(adata.n_obs, dtype=bool)
    imputed, std = (
        read_values(adata, everywhere, columns, layer=layer, finite=False) for layer in (key, _keys.STD.format(key))
    )
    check_imputed(adata, key, columns[np.isnan(imputed).all(axis=0)])
    known = measured | read_mask(adata, _keys.VISIBLE.format(key))
    reliability = _reliability(adata, key, columns)
    rows = tuple(
        _row(gene, imputed[:, i], std[:, i], seen[:, i], known, reliability[i], percentiles)
        for i, gene in enumerate(adata.var_names[columns].astype(str))
    )
    return Maps(section, rows, source is None and "log1p" in adata.uns)


def _row(
    gene: str,
    imputed: "NDArray[np.float32]",
    std: "NDArray[np.float32]",
    seen: "NDArray[np.float32]",
    known: "NDArray[np.bool_]",
    reliability: float,
    percentiles: tuple[float, float],
) -> GeneRow:
    shown = np.where(std > 0, std, np.float32(np.nan))  # 0 at spots that keep what was measured
    uncertain = shown[np.isfinite(shown)]
    unknown = shown[~known & np.isfinite(shown)]
    spread = float(seen.std(dtype=np.float64))
    relative = f"median {np.median(unknown) / spread:.2f} × spots' SD" if len(unknown) and spread > 0 else ""
    expected = f"reliability {reliability + 0.0:.2f}".replace("-", "−") if np.isfinite(reliability) else ""
    return GeneRow(
        gene,
        (Panel("imputed", imputed, note=expected), Panel("standard deviation", shown, "SD", relative)),
        {
            "expression": colour_limits(seen, percentiles),
            "SD": (0.0, float(np.percentile(uncertain, percentiles[1])) if len(uncertain) else 1.0),
        },
    )


def _check_std(adata: "AnnData", key: str) -> None:
    layer = _keys.STD.format(key)
    if layer not in adata.layers:
        msg = (
            f"run {key!r} has no standard deviations (adata.layers has no {layer!r}); call s2s.tl.impute with "
            "uncertainty=True, on a section with unmeasured sites and at least 16 measured spots; without them, draw "
            "it with s2s.pl.compare"
        )
        raise KeyError(msg)


def _reliability(adata: "AnnData", key: str, columns: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Expected PCC of genes, NaN where there is none."""
    column = _keys.RELIABILITY.format(key)
    if column not in adata.var:
        return np.full(len(columns), np.nan)
    return np.asarray(adata.var[column].to_numpy(dtype=float, na_value=np.nan)[columns])
