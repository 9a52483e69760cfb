from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_measured, read_section, read_values, read_visible
from .._checks import check_genes
from .._scores import pearson
from ._figure import GivenAxes, Shown
from ._maps import GeneRow, Look, Maps, Panel, colour_limits, draw_maps, read_imputed

__all__ = ["compare", "compare_data"]


def compare(
    adata: AnnData,
    genes: str | Sequence[str],
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    unit: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
    cmap: str | Colormap = "viridis",
    error_cmap: str | Colormap = "RdBu_r",
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
    """Draw genes as measured, as imputed and, where spots were held out, their truth and the error.

    A row per gene: measured | imputed, one panel per key | truth | imputed - truth, one panel per key. The last two
    kinds appear only if spots are held out (:func:`s2s_scverse.pp.sparsify`); below the errors stands Pearson's
    correlation at these spots, unless the run saw some of them. Every site is drawn as the cell of its lattice (a
    square, a square on its tip or a hexagon) where the lattice has it in the section; y points down, as in images.
    Sites without a value are grey, or show the image.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, with imputed layers.
    genes
        Genes to draw.
    keys
        Imputed layers to draw.
    layer
        Layer of measured and true values. By default the one that the runs in `keys` read, X for other layers.
    library_id
        Which section to draw, if `adata` holds several.
    unit
        Unit of the values, for the colour bars. ``"log1p"`` by default if X was transformed by :func:`scanpy.pp.log1p`.
    vmin, vmax
        Limits of the colours in all panels of a gene: a number, or a percentile of its **measured** values
        (``"p99"``). Colours of errors span as wide a range, centred at 0. Held-out values change neither.
    cmap, error_cmap
        Colour map of values, and a diverging one of errors.
    img
        Image of the tissue to draw below the sites: True for the one of the highest resolution in
        ``adata.uns["spatial"]``, or its name there (``"lowres"``). None by default, other than in squidpy: sites tile
        the tissue and hide the image, and colours that it shines through are not those of the bar.
    img_alpha, alpha
        Opacity of the image, and of the sites on it (about 0.6 shows the tissue below all of them), 0 to 1.
    title, figsize
        Titles of the panels in a row, instead of the names above; width and height of the figure in inches.
    rasterized
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    axes
        Axes to draw into, one for each panel, row by row. Colour bars lie to the right of the last panel of their kind:
        make the figure with ``layout="compressed"`` to have room for them.
    show, return_fig
        Show the figure (by default as ``scanpy.settings.autoshow`` says), or return it, unknown to pyplot.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the axes of the panels, an object array of shape
    (n_genes, n_panels).

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, a layer, the section or the image does not exist.
    ValueError
        If there are several sections and `library_id` does not say which, a layer holds no values of a gene, the runs
        read different layers, no site is measured, the section lies beside its image, or limits or an opacity make no
        sense.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> dense.layers["guess"] = dense.X.toarray()
    >>> axes = s2s.pl.compare(dense, "domain_1", keys="guess", show=False)
    >>> [axis.get_title() for axis in axes[0]]
    ['measured', 'imputed', 'truth', 'imputed − truth']
    """
    data = compare_data(adata, genes, keys=keys, layer=layer, library_id=library_id, vmin=vmin, vmax=vmax)
    look = Look(unit, title, img, img_alpha, alpha, figsize, rasterized, axes, show, return_fig)
    return draw_maps(data, adata.uns.get("spatial"), {"expression": cmap, "error": error_cmap}, look)


def compare_data(
    adata: AnnData,
    genes: str | Sequence[str] | None,
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
) -> Maps:
    """Collect measured, imputed and true values and errors; see :func:`s2s_scverse.pl.compare`."""
    adata, section = read_section(adata, library_id)
    columns = check_genes(adata, genes)
    layers = check_keys(adata, keys)
    source = find_source(adata, layers, layer, argument="layer")
    measured, held_out = read_measured(adata), read_mask(adata, _keys.HELD_OUT)
    seen = np.full((adata.n_obs, len(columns)), np.nan, dtype=np.float32)
    seen[measured] = read_values(adata, measured, columns, layer=source)
    imputed = {key: read_imputed(adata, key, columns) for key in layers}
    truth = seen.copy()
    if held_out.any():
        truth[held_out] = read_values(adata, held_out, columns, layer=source, finite=False)
    visible = {key: read_visible(adata, key) for key in layers}
    leaked = {key for key, sites in visible.items() if sites is not None and np.any(sites & held_out)}
    names = {key: key if len(layers) > 1 else "imputed" for key in layers}
    rows = []
    for i, gene in enumerate(adata.var_names[columns].astype(str)):
        panels = [Panel("measured", seen[:, i]), *(Panel(names[key], values[:, i]) for key, values in imputed.items())]
        if held_out.any():
            panels.append(Panel("truth", truth[:, i]))
            for key, values in imputed.items():
                error = np.where(held_out, values[:, i] - truth[:, i], np.float32(np.nan))
                score = "saw the truth" if key in leaked else _correlation(values[held_out, i], truth[held_out, i])
                panels.append(Panel(f"{names[key]} − truth", error, "error", score))
        # Measured values alone set both ranges of colours; that of errors is as wide.
        low, high = colour_limits(seen[measured, i], vmin, vmax)
        half = (high - low) / 2
        rows.append(GeneRow(gene, tuple(panels), {"expression": (low, high), "error": (-half, half)}))
    return Maps(section, tuple(rows), source is None and "log1p" in adata.uns)


def _correlation(values: NDArray[np.float32], truth: NDArray[np.float32]) -> str:
    """Pearson's correlation at held-out spots, for the reader: undefined where the truth is constant."""
    known = np.isfinite(values) & np.isfinite(truth)
    found = float(pearson(truth[known][:, None], values[known][:, None])[0]) if known.sum() > 1 else np.nan
    # Adding 0 turns -0.0 into 0.0.
    return "PCC undefined" if np.isnan(found) else f"PCC {round(found, 2) + 0.0:.2f}".replace("-", "−")
