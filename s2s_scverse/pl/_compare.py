from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_measured, read_values, read_visible
from .._checks import check_adata, check_choice, check_genes, check_name, few
from .._lattice import SectionOnLattice
from .._scores import pearson
from ..get._tables import NO_STD
from ._drawing import chosen_sections
from ._figure import GivenAxes, Shown
from ._maps import Look, MapRow, Panel, Scale, colour_limits, draw_maps

SD_SPAN: Final = 2.0  # smallest ratio of the ends of the colours of standard deviations
Column = Literal["image", "measured", "imputed", "std", "truth", "error"]


def compare(
    adata: AnnData,
    genes: str | Sequence[str],
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    columns: Column | Sequence[Column] | None = None,
    layer: str | None = None,
    library_id: str | None = None,
    unit: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
    cmap: str | Colormap = "viridis",
    std_cmap: str | Colormap = "magma",
    error_cmap: str | Colormap = "RdBu_r",
    img: bool | str | None = None,
    img_alpha: float = 1.0,
    bw: bool = True,
    alpha: float | None = None,
    scalebar_dx: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 1,
    figsize: tuple[float, float] | None = None,
    rasterized: bool = False,
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw measured and imputed expression side by side.

    One row per gene; with several sections, one per gene and section. Every value fills the cell of its site (a square
    or a hexagon). Cells of measured spots are as wide as the distance between spots, so that measured and imputed maps
    have the same overall colour. Expression is drawn on the image of the tissue, if there is one; sites without a value
    are grey elsewhere. y points down, as in images.

    Imputed values are means: smoother than measured spots, which stand out as dots. For pictures and clusters without
    these dots, impute with ``denoise=True``; for statistics, use draws (:func:`s2s_scverse.tl.propagate`).

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, with imputed layers, or several.
    genes
        Genes to draw.
    keys
        Imputed layers to draw, side by side.
    columns
        Panels of a row:

        ``"image"``
            The image of the tissue alone.
        ``"measured"``
            Measured spots.
        ``"imputed"``
            Imputed values. The note is the reliability of the gene: the Pearson correlation expected at unmeasured
            sites.
        ``"std"``
            Standard deviation of the imputed values. The note is its median over unmeasured sites, relative to the
            standard deviation of the measured values: near 1, the prediction is hardly better than their mean.
        ``"truth"``
            Measured and held-out spots.
        ``"error"``
            Imputed minus true values at held-out spots (:func:`s2s_scverse.pp.sparsify`), and their Pearson correlation
            unless the run saw some of these spots.

        By default measured and imputed values; also truth and error if spots are held out, else the standard deviation
        if all `keys` have one.
    layer
        Layer of measured and true values. By default the one that the runs in `keys` read, X for other layers.
    library_id
        Section to draw, all by default.
    unit
        Unit of the values, for the colour bars. ``"log1p"`` by default if X was transformed by :func:`scanpy.pp.log1p`.
    vmin, vmax
        Limits of the colours of expression: a number, or a percentile of the **measured** values of the gene
        (``"p99"``). Colours of errors span as wide a range, centred at 0. Held-out values change neither. Colours of
        standard deviations span the 1st to the 99th percentile of those at unmeasured sites, and at least a factor of
        two: differences of a few per cent, which are noise, do not look like structure.
    cmap, std_cmap, error_cmap
        Colour maps of values and of standard deviations, and a diverging one of errors.
    img
        Image of the tissue beneath expression: True for the one of the highest resolution in
        ``adata.uns["spatial"]``, or its name there (``"lowres"``); False for none. By default the image is drawn if
        `adata` has one.
    img_alpha, alpha
        Opacity of the image, and of the sites on it (0.8 by default: the tissue shows through), 0 to 1. Without image,
        sites are opaque.
    bw
        Whether to draw the image beneath expression in pale grey, so that colours are those of the colour bar, only
        paler; False for its own colours, of which those of a stain resemble low expression.
    scalebar_dx
        Micrometres per unit of the coordinates, for the scale bar; 0 for no bar. By default there is a bar for Visium
        and Visium HD, and if ``adata.uns["spatial_unit"]`` says that coordinates are micrometres.
    title
        Titles of the panels of a row, instead of their names.
    ncols
        Number of rows to draw side by side: ``columns="imputed", ncols=4`` makes a gallery.
    figsize
        Width and height of the figure in inches.
    rasterized
        Whether to draw the sites as a bitmap in PDF and SVG files, which reduces the size of the files.
    axes
        Axes to draw into, one for each panel, row by row. Colour bars lie to the right of the last panel of their kind:
        make the figure with ``layout="compressed"`` to have room for them.
    show, return_fig
        Whether to show the figure (by default as set by ``scanpy.settings.autoshow``), or to return it, detached from
        pyplot.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the axes of the panels, an object array of shape
    (n_rows, n_panels), or of one panel its axes.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, a layer, standard deviations, the section or the requested image do not
        exist.
    ValueError
        If a layer holds no values of a gene, the runs read different layers, no site of a section is measured, no spot
        is held out for the columns ``"truth"`` and ``"error"``, the section lies outside the requested image, or limits
        or an opacity are out of range.

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
    rows = map_rows(adata, genes, keys=keys, columns=columns, layer=layer, library_id=library_id, vmin=vmin, vmax=vmax)
    if unit is None:
        source = find_source(adata, check_keys(adata, keys), layer)
        unit = "log1p" if source is None and "log1p" in adata.uns else ""
    look = Look(unit, title, img, img_alpha, bw, alpha, scalebar_dx, ncols, figsize, rasterized, axes, show, return_fig)
    return draw_maps(rows, adata, {"expression": cmap, "SD": std_cmap, "error": error_cmap}, look)


def uncertainty(adata: AnnData, genes: str | Sequence[str], *, key: str = _keys.UNS, **options: Any) -> Shown:
    """Draw imputed genes and their standard deviations at every site.

    The same as ``compare(adata, genes, keys=key, columns=("imputed", "std"))``. Measured spots keep their values; they
    have no standard deviation and are grey. Colours of standard deviations span at least a factor of two, as explained
    there: a map of one colour is equally uncertain everywhere.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    genes
        Genes to draw.
    key
        Name of the run (its `key_added`).
    **options
        Other arguments of :func:`s2s_scverse.pl.compare`.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_rows, 2).

    Raises
    ------
    KeyError, ValueError
        As :func:`s2s_scverse.pl.compare`; if the run has no standard deviations.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8), upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> [axis.get_title() for axis in s2s.pl.uncertainty(dense, "domain_1", show=False)[0]]
    ['imputed', 'standard deviation']
    """
    check_adata(adata)
    check_name("key", key)
    check_keys(adata, key, argument="key")
    return compare(adata, genes, keys=key, columns=("imputed", "std"), **options)


def map_rows(
    adata: AnnData,
    genes: str | Sequence[str] | None,
    *,
    keys: str | Sequence[str] = (_keys.UNS,),
    columns: str | Sequence[str] | None = None,
    layer: str | None = None,
    library_id: str | None = None,
    vmin: float | str = "p1",
    vmax: float | str = "p99",
) -> list[MapRow]:
    """Collect the maps of :func:`s2s_scverse.pl.compare`, and the limits of their colours."""
    check_adata(adata)
    at = check_genes(adata, genes)
    layers = check_keys(adata, keys)
    source = find_source(adata, layers, layer)
    wanted = _columns(adata, layers, columns)
    adata, sections = chosen_sections(adata, library_id)
    values, rows = _Values(adata, at, layers, source, "std" in wanted), []
    for section in sections:
        values.check(section)
    for i, gene in enumerate(adata.var_names[at].astype(str)):
        # Measured values alone set the ranges of expression and error, which are as wide.
        low, high = colour_limits(values.true[values.measured, i], vmin, vmax)
        half = (high - low) / 2
        limits: dict[Scale, tuple[float, float]] = {"expression": (low, high), "error": (-half, half)}
        if "std" in wanted:
            unseen = np.concatenate([values.unseen_std[key][:, i] for key in layers])
            unseen = unseen[np.isfinite(unseen)]
            limits["SD"] = _sd_limits(unseen) if unseen.any() else (0.0, 1.0)
        for section in sections:
            panels = [panel for column in wanted for panel in values.panels(column, section, i)]
            used = {panel.scale for panel in panels}
            rows.append(MapRow(gene, section, panels, {scale: limits[scale] for scale in limits if scale in used}))
    return rows


def _sd_limits(sd: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range of colours of standard deviations; one that is too narrow is widened at both ends."""
    low, high = np.percentile(sd.astype(np.float64), (1, 99))
    widening = max(np.sqrt(SD_SPAN * low / high), 1.0)
    return float(low / widening), float(high * widening)


def _columns(adata: AnnData, keys: Sequence[str], columns: str | Sequence[str] | None) -> list[str]:
    """Return the columns to draw; refuse those that cannot be drawn."""
    held_out = read_mask(adata, _keys.HELD_OUT).any()
    without = [key for key in keys if _keys.STD.format(key) not in adata.layers]
    if columns is None:
        more = ["truth", "error"] if held_out else [] if without else ["std"]
        return ["measured", "imputed", *more]
    wanted = [columns] if isinstance(columns, str) else list(columns)
    for column in wanted:
        check_choice("each of columns", column, get_args(Column))
    if not wanted:
        msg = "expected at least one column, found an empty list"
        raise ValueError(msg)
    if "std" in wanted and without:
        msg = f"{NO_STD.format(without[0])}; or draw it by s2s.pl.compare without the column 'std'"
        raise KeyError(msg)
    if {"truth", "error"} & set(wanted) and not held_out:
        msg = f"no spot is held out (adata.obs[{_keys.HELD_OUT!r}]), so there is neither truth nor error to draw"
        raise ValueError(msg)
    return wanted


class _Values:
    """Values of the genes `at` (n_genes,) at all sites, (n_obs, n_genes) each, NaN where there is none."""

    def __init__(self, adata: AnnData, at: NDArray[np.int64], keys: list[str], source: str | None, std: bool) -> None:
        self._adata, self._at = adata, at
        self.measured, self.held_out = read_measured(adata), read_mask(adata, _keys.HELD_OUT)
        self.true = np.full((adata.n_obs, len(at)), np.nan, np.float32)
        self.true[self.measured] = read_values(adata, self.measured, at, layer=source)
        if self.held_out.any():
            self.true[self.held_out] = read_values(adata, self.held_out, at, layer=source, finite=False)
        everywhere = np.ones(adata.n_obs, dtype=bool)
        self.imputed = {key: read_values(adata, everywhere, at, layer=key, finite=False) for key in keys}
        self.std, self.unseen_std = {}, {}
        for key in keys if std else ():
            found = read_values(adata, everywhere, at, layer=_keys.STD.format(key), finite=False)
            self.std[key] = np.where(found > 0, found, np.nan)  # 0 at spots that keep what was measured
            seen = self.measured | read_mask(adata, _keys.VISIBLE.format(key))
            self.unseen_std[key] = np.where(seen[:, None], np.nan, self.std[key])

    def check(self, section: SectionOnLattice) -> None:
        """Refuse a section without spots, or without imputed values of a gene."""
        read_measured(self._adata[section.rows])
        for key, values in self.imputed.items():
            empty = self._adata.var_names[self._at[np.isnan(values[section.rows]).all(axis=0)]]
            if len(empty):
                found = f"adata.layers[{key!r}] holds no values of {few(empty)}"
                msg = f"{found}: they were not imputed; impute them too, or choose other genes"
                raise ValueError(msg)

    def panels(self, column: str, section: SectionOnLattice, gene: int) -> list[Panel]:
        """Return the panels of a column for one of the genes."""
        rows = section.rows
        true, measured, held_out = self.true[rows, gene], self.measured[rows], self.held_out[rows]
        if column == "image":
            return [Panel("image", np.full(len(rows), np.nan, np.float32), "image")]
        if column in ("measured", "truth"):
            shown = measured if column == "measured" else measured | held_out
            return [Panel(column, np.where(shown, true, np.nan), width=section.lattice.spot_pitch(shown))]
        panels = []
        for key in self.imputed:
            name, values = "imputed" if len(self.imputed) == 1 else key, self.imputed[key][rows, gene]
            if column == "imputed":
                panels.append(Panel(name, values, note=self._reliability(key, gene)))
            elif column == "std":
                unseen, spread = self.unseen_std[key][rows, gene], float(true[measured].std(dtype=np.float64))
                known = unseen[np.isfinite(unseen)]
                note = f"{np.median(known) / spread:.2f} × SD of spots" if len(known) and spread > 0 else ""
                title = "standard deviation" if name == "imputed" else f"SD of {name}"
                panels.append(Panel(title, self.std[key][rows, gene], "SD", note))
            else:
                visible = read_visible(self._adata, key)
                leaked = visible is not None and np.any(visible[rows] & held_out)
                note = "saw the truth" if leaked else _correlation(values[held_out], true[held_out])
                error = np.where(held_out, values - true, np.nan)
                width = section.lattice.spot_pitch(measured | held_out)
                panels.append(Panel(f"{name} − truth", error, "error", note, width))
        return panels

    def _reliability(self, key: str, gene: int) -> str:
        column = self._adata.var.get(_keys.RELIABILITY.format(key))
        expected = np.nan if column is None else float(column.iloc[self._at[gene]])
        return _signed("reliability", expected) if np.isfinite(expected) else ""


def _correlation(values: NDArray[np.float32], truth: NDArray[np.float32]) -> str:
    """Return Pearson's correlation at held-out spots as text: undefined where the truth is constant."""
    known = np.isfinite(values) & np.isfinite(truth)
    found = float(pearson(truth[known][:, None], values[known][:, None])[0]) if known.sum() > 1 else np.nan
    return "PCC undefined" if np.isnan(found) else _signed("PCC", found)


def _signed(name: str, value: float) -> str:
    """Return a number with its name, with a true minus sign; adding 0 turns -0.0 into 0.0."""
    return f"{name} {round(value, 2) + 0.0:.2f}".replace("-", "−")
