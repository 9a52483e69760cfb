from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import _keys
from ._compare_data import compare_data
from ._draw_maps import Look, draw_maps

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.colors import Colormap

    from ._figure import GivenAxes, Shown

__all__ = ["compare"]


def compare(
    adata: "AnnData",
    genes: str | Sequence[str],
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    unit: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
    cmap: "str | Colormap" = "viridis",
    error_cmap: "str | Colormap" = "RdBu_r",
    img: bool | str = False,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    axes: "GivenAxes" = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
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
    look = Look(
        {"expression": cmap, "error": error_cmap},
        unit,
        title,
        img,
        img_alpha,
        alpha,
        figsize,
        rasterized,
        axes,
        show,
        return_fig,
    )
    return draw_maps(data, adata.uns.get("spatial"), look)
