from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from anndata import AnnData
from matplotlib.colors import Colormap
from numpy.typing import NDArray

from .. import _keys
from .._adata import check_keys, find_source, read_mask, read_measured, read_values, read_visible
from .._checks import check_adata, check_choice, check_genes, few
from .._lattice import SectionOnLattice
from .._scores import pearson
from ._figure import GivenAxes, Shown
from ._maps import Look, MapRow, Panel, Scale, colour_limits, draw_maps, each_section

__all__ = ["Column", "compare", "map_rows"]

Column = Literal["image", "measured", "imputed", "std", "truth", "error"]
COLUMNS: Final = ("image", "measured", "imputed", "std", "truth", "error")


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
        standard deviations span the 1st to the 99th percentile of those at unmeasured sites.
    cmap, std_cmap, error_cmap
        Colour maps of values and of standard deviations, and a diverging one of errors.
    img
        Image of the tissue beneath expression: True for the one of the highest resolution in
        ``adata.uns["spatial"]``, or its name there (``"lowres"``); False for none. By default there is one if `adata`
        has it.
    img_alpha, alpha
        Opacity of the image, and of the sites on it (0.7 by default: the tissue shows through), 0 to 1. Without image,
        sites are opaque.
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
        Draw the sites as a bitmap in PDF and SVG files. Makes files of large sections small.
    axes
        Axes to draw into, one for each panel, row by row. Colour bars lie to the right of the last panel of their kind:
        make the figure with ``layout="compressed"`` to have room for them.
    show, return_fig
        Show the figure (by default as ``scanpy.settings.autoshow`` says), or return it, unknown to pyplot.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the axes of the panels, an object array of shape
    (n_rows, n_panels).

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene, a layer, standard deviations, the section or the image asked for do not
        exist.
    ValueError
        If a layer holds no values of a gene, the runs read different layers, no site of a section is measured, no spot
        is held out for the columns ``"truth"`` and ``"error"``, the section lies beside the image asked for, or limits
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
        source = find_source(adata, check_keys(adata, keys), layer, argument="layer")
        unit = "log1p" if source is None and "log1p" in adata.uns else ""
    look = Look(unit, title, img, img_alpha, alpha, scalebar_dx, ncols, figsize, rasterized, axes, show, return_fig)
    return draw_maps(rows, adata, {"expression": cmap, "SD": std_cmap, "error": error_cmap}, look)


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
    source = find_source(adata, layers, layer, argument="layer")
    wanted = _columns(adata, layers, columns)
    sections = [
        _SectionMaps(part, section, at, layers, source, std="std" in wanted)
        for part, section in each_section(adata, library_id)
    ]
    rows = []
    for i, gene in enumerate(adata.var_names[at].astype(str)):
        # Measured values alone set the ranges of expression and error, which are as wide.
        low, high = colour_limits(np.concatenate([maps.spots[:, i] for maps in sections]), vmin, vmax)
        half = (high - low) / 2
        limits: dict[Scale, tuple[float, float]] = {"expression": (low, high), "error": (-half, half)}
        if "std" in wanted:
            doubt = np.concatenate([maps.doubt(key)[:, i] for maps in sections for key in layers])
            doubt = doubt[np.isfinite(doubt)]
            limits["SD"] = colour_limits(doubt, "p1", "p99") if len(doubt) else (0.0, 1.0)
        for maps in sections:
            panels = tuple(panel for column in wanted for panel in maps.panels(column, i))
            used = {panel.scale for panel in panels}
            if maps.section.name is not None and len(sections) > 1:
                panels = (panels[0].noted(maps.section.name), *panels[1:])
            shown = {scale: limits[scale] for scale in limits if scale in used}
            rows.append(MapRow(gene, maps.section, panels, shown))
    return rows


def _columns(adata: AnnData, keys: Sequence[str], columns: str | Sequence[str] | None) -> list[str]:
    """Return the columns to draw; refuse those that cannot be drawn."""
    held_out = read_mask(adata, _keys.HELD_OUT).any()
    without = [key for key in keys if _keys.STD.format(key) not in adata.layers]
    if columns is None:
        more = ["truth", "error"] if held_out else [] if without else ["std"]
        return ["measured", "imputed", *more]
    wanted = [columns] if isinstance(columns, str) else list(columns)
    for column in wanted:
        check_choice("each of columns", column, COLUMNS)
    if not wanted:
        msg = "expected at least one column, found an empty list"
        raise ValueError(msg)
    if "std" in wanted and without:
        msg = (
            f"run {without[0]!r} has no standard deviations (adata.layers has no {_keys.STD.format(without[0])!r}); "
            "call s2s.tl.impute with uncertainty=True, on a section with unmeasured sites and at least 16 measured "
            "spots, or draw it by s2s.pl.compare without the column 'std'"
        )
        raise KeyError(msg)
    if {"truth", "error"} & set(wanted) and not held_out:
        msg = f"no spot is held out (adata.obs[{_keys.HELD_OUT!r}]), so there is neither truth nor error to draw"
        raise ValueError(msg)
    return wanted


class _SectionMaps:
    """Values of some genes, `at` (n_genes,), at all sites of one section."""

    def __init__(
        self,
        adata: AnnData,
        section: SectionOnLattice,
        at: NDArray[np.int64],
        keys: Sequence[str],
        source: str | None,
        *,
        std: bool,
    ) -> None:
        self._adata, self.section, self._at, self._keys, self._source = adata, section, at, keys, source
        self._measured, self._held_out = read_measured(adata), read_mask(adata, _keys.HELD_OUT)
        self.spots = read_values(adata, self._measured, at, layer=source)
        self._everywhere = np.ones(adata.n_obs, dtype=bool)
        self._imputed = {key: self._imputed_values(key) for key in keys}
        self._std = {key: self._std_values(key) for key in keys} if std else {}

    def panels(self, column: str, gene: int) -> list[Panel]:
        """Return the panels of a column for one of the genes."""
        if column == "image":
            return [Panel("image", np.full(self._adata.n_obs, np.nan, np.float32), "image")]
        if column in ("measured", "truth"):
            shown = self._measured if column == "measured" else self._measured | self._held_out
            return [Panel(column, self._at_sites(gene, shown), width=self.section.lattice.spot_pitch(shown))]
        draw = {"imputed": self._imputed_panel, "std": self._std_panel, "error": self._error_panel}[column]
        return [draw(key, key if len(self._keys) > 1 else "imputed", gene) for key in self._keys]

    def doubt(self, key: str) -> NDArray[np.float32]:
        """Return the standard deviations at sites that the run did not see."""
        unseen = ~self._measured & ~read_mask(self._adata, _keys.VISIBLE.format(key))
        return np.asarray(self._std[key][unseen])

    def _imputed_panel(self, key: str, name: str, gene: int) -> Panel:
        reliability = self._adata.var.get(_keys.RELIABILITY.format(key))
        expected = np.nan if reliability is None else float(reliability.iloc[self._at[gene]]) + 0.0
        note = f"reliability {expected:.2f}".replace("-", "−") if np.isfinite(expected) else ""
        return Panel(name, self._imputed[key][:, gene], note=note)

    def _std_panel(self, key: str, name: str, gene: int) -> Panel:
        doubt, spread = self.doubt(key)[:, gene], float(self.spots[:, gene].std(dtype=np.float64))
        known = np.isfinite(doubt)
        note = f"{np.median(doubt[known]) / spread:.2f} × SD of spots" if known.any() and spread > 0 else ""
        return Panel(
            "standard deviation" if name == "imputed" else f"SD of {name}", self._std[key][:, gene], "SD", note
        )

    def _error_panel(self, key: str, name: str, gene: int) -> Panel:
        visible, held_out = read_visible(self._adata, key), self._held_out
        truth, values = self._at_sites(gene, held_out), self._imputed[key][:, gene]
        leaked = visible is not None and np.any(visible & held_out)
        note = "saw the truth" if leaked else _correlation(values[held_out], truth[held_out])
        width = self.section.lattice.spot_pitch(self._measured | held_out)
        return Panel(f"{name} − truth", values - truth, "error", note, width)

    def _at_sites(self, gene: int, shown: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return true values at some sites, (n_sites,), NaN elsewhere."""
        values = np.full(self._adata.n_obs, np.nan, dtype=np.float32)
        if shown.any():
            at = self._at[gene : gene + 1]
            values[shown] = read_values(self._adata, shown, at, layer=self._source, finite=False)[:, 0]
        return values

    def _std_values(self, key: str) -> NDArray[np.float32]:
        std = read_values(self._adata, self._everywhere, self._at, layer=_keys.STD.format(key), finite=False)
        return np.where(std > 0, std, np.float32(np.nan))  # 0 at spots that keep what was measured

    def _imputed_values(self, key: str) -> NDArray[np.float32]:
        values = read_values(self._adata, self._everywhere, self._at, layer=key, finite=False)
        empty = self._adata.var_names[self._at[np.isnan(values).all(axis=0)]]
        if len(empty):
            msg = (
                f"adata.layers[{key!r}] holds no values of {few(empty)}: they were not imputed; "
                "impute them too, or choose other genes"
            )
            raise ValueError(msg)
        return values


def _correlation(values: NDArray[np.float32], truth: NDArray[np.float32]) -> str:
    """Return Pearson's correlation at held-out spots as text: undefined where the truth is constant."""
    known = np.isfinite(values) & np.isfinite(truth)
    found = float(pearson(truth[known][:, None], values[known][:, None])[0]) if known.sum() > 1 else np.nan
    # Adding 0 turns -0.0 into 0.0.
    return "PCC undefined" if np.isnan(found) else f"PCC {round(found, 2) + 0.0:.2f}".replace("-", "−")
