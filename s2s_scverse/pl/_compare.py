from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import _keys
from ._compare_data import compare_data
from ._draw_maps import Look, draw_maps

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.colors import Colormap

    from ._figure import Shown

__all__ = ["compare"]


def compare(
    adata: "AnnData",
    genes: str | Sequence[str],
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    layer: str | None = None,
    library_id: str | None = None,
    unit: str | None = None,
    percentiles: tuple[float, float] = (1, 99),
    cmap: "str | Colormap" = "viridis",
    error_cmap: "str | Colormap" = "RdBu_r",
    img: bool | str = False,
    img_alpha: float = 1.0,
    alpha: float = 1.0,
    panel_size: float = 2.0,
    rasterized: bool = False,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw genes as measured, as imputed and, where spots were held out, their truth and the error.

    A row per gene: measured | imputed, one panel per key | truth | imputed - truth, one panel per key. The last two
    kinds appear only if spots are held out (:func:`s2s_scverse.pp.sparsify`); above the errors stands Pearson's
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
        Layer that holds measured and true values, or ``"X"``. By default what the runs in `keys` read.
    library_id
        Which section to draw, if `adata` holds several.
    unit
        Unit of the values, for the colour bars. ``"log1p"`` by default if X was transformed by :func:`scanpy.pp.log1p`.
    percentiles
        Percentiles of a gene's **measured** values between which its colours run, in all panels. Colours of errors run
        over as wide a range, centred at 0. Held-out values change neither.
    cmap
        Colour map of values.
    error_cmap
        Diverging colour map of errors.
    img
        Image of the tissue to draw below the sites: True for the one of the highest resolution in
        ``adata.uns["spatial"]``, or its name there (``"lowres"``). None by default, other than in squidpy: sites tile
        the tissue, so that little is seen of an image, and colours that it shines through are not those of the bar.
    img_alpha
        Opacity of the image, 0 to 1.
    alpha
        Opacity of the sites on the image, 0 to 1. About 0.6 shows the tissue below all of them.
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
    Axes of the panels, an object array of shape (n_genes, n_panels); `None` if the figure is shown; the figure with
    `return_fig`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, a layer, the section or the image does not exist.
    ValueError
        If there are several sections and `library_id` does not say which, a layer holds no values of a gene, the runs read
        different layers, no site is measured, the section lies beside its image, or `percentiles`, `panel_size` or an
        opacity make no sense.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> dense.layers["guess"] = dense.X.toarray()
    >>> figure = s2s.pl.compare(dense, "domain_1", keys="guess", return_fig=True)
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['measured', 'imputed', 'truth', 'imputed − truth']
    """
    look = Look({"expression": cmap, "error": error_cmap}, unit, panel_size, img, img_alpha, alpha, rasterized)
    data = compare_data(adata, genes, keys=keys, layer=layer, library_id=library_id, percentiles=percentiles)
    return draw_maps(data, adata.uns.get("spatial"), look, show=show, return_fig=return_fig)
