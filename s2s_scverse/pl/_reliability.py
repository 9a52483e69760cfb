from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from .. import _keys
from .._checks import check_adata, check_genes, few
from ..get import evaluation_df, reliability_df
from ..get._reliability import read_reliability
from ._figure import finish, make_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ._figure import GivenAxes, Shown

__all__ = ["reliability"]

LABELLED = 8
"""Number of genes whose names are written."""
COLORS = ("#e69f00", "#009e73", "#cc79a7", "#d55e00")
"""Of scales."""


def reliability(
    adata: "AnnData",
    *,
    genes: "str | Sequence[str] | None" = None,
    key: str = _keys.UNS,
    scales: "int | Sequence[int] | None" = None,
    title: "str | Sequence[str] | None" = None,
    figsize: tuple[float, float] | None = None,
    axes: "GivenAxes" = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw the expected accuracy of every gene.

    Genes are sorted by their reliability, the Pearson correlation expected at unmeasured sites. With `scales`, lines
    show the reliability of means over windows, sorted likewise. If the run had covariates, a second panel shows how
    much more of each gene's variance they explain. If :func:`s2s_scverse.tl.evaluate` has scored the run, a last panel
    compares the expected correlation of each gene with the one found at held-out spots.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    genes
        Genes to label. By default eight, at equal distances in the order of reliability.
    key
        Name of the run (its `key_added`).
    scales
        Widths of windows in sites, such as 2 and 4; from 20 conditional draws, see
        :func:`s2s_scverse.get.reliability_df`.
    title, figsize
        Titles of the panels; width and height of the figure in inches.
    axes
        Axes to draw into, as many as there are panels.
    show, return_fig
        Show the figure (by default as ``scanpy.settings.autoshow`` says), or return it, unknown to pyplot.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the axes, an object array of shape
    (n_panels,).

    Raises
    ------
    KeyError
        If the run did not estimate reliability, or a gene does not exist.
    TypeError, ValueError
        If `scales` are not different integers of at least 1, or a gene to label has no reliability.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> adata = s2s.datasets.simulated_tissue(n_rows=24, n_cols=24, n_genes=8)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> [axes.get_ylabel() for axes in s2s.pl.reliability(dense, show=False)]
    ['expected PCC']
    """
    check_adata(adata)
    labelled = None if genes is None else adata.var_names[check_genes(adata, genes)]
    expected = read_reliability(adata, key).sort_values(ascending=False, kind="stable")
    if labelled is not None and len(without := labelled.difference(expected.index)):
        msg = f"no reliability of {few(without)}: these genes were not imputed, or are constant at the measured spots"
        raise ValueError(msg)
    found, column = _found(adata, key, expected), _keys.COVARIATE_GAIN.format(key)
    coarser = None if scales is None else reliability_df(adata, key=key, scales=scales)
    n_panels = 1 + (column in adata.var) + (found is not None)
    drawn = make_axes(axes, (1, n_panels), figsize or (4.2 * n_panels, 3.4), return_fig=return_fig)[0]
    _draw_ranked(drawn[0], expected, labelled)
    if coarser is not None:
        _draw_scales(drawn[0], coarser)
    drawn[0].set(xlabel="genes, most reliable first", ylabel="expected PCC", ylim=(0, 1))
    if column in adata.var:
        gain = adata.var[column].astype(float).dropna().sort_values(ascending=False, kind="stable")
        _draw_ranked(drawn[1], gain, labelled)
        drawn[1].axhline(0, color="#999999", linewidth=0.8, zorder=1)
        drawn[1].set(xlabel="genes, largest gain first", ylabel="variance explained by covariates")
    if found is not None:
        _draw_found(drawn[-1], expected, found, labelled)
    return finish(drawn, title, show=show, return_fig=return_fig)


def _found(adata: "AnnData", key: str, expected: "pd.Series") -> "pd.Series | None":
    """Return the PCC at held-out spots of the genes that have one, None if the run was not scored."""
    if _keys.EVALUATION not in adata.uns.get(_keys.UNS, {}):
        return None
    table = evaluation_df(adata)
    scores = table[table["method"] == key].set_index("gene")["pcc"].astype(float)
    scores = scores.reindex(expected.index).dropna()
    return scores if len(scores) else None


def _draw_ranked(axis: "Axes", values: "pd.Series", labelled: "pd.Index | None") -> None:
    ranks = np.arange(1, len(values) + 1)
    if labelled is None:
        labelled = values.index[
            np.unique(np.linspace(0, len(values) - 1, min(LABELLED, len(values))).round().astype(int))
        ]
    _draw_points(axis, ranks, values, labelled)


def _draw_points(axis: "Axes", x: "NDArray[Any] | pd.Series", y: "pd.Series", labelled: "pd.Index | None") -> None:
    """Draw a dot for each gene, those to label in another colour and with their names."""
    axis.plot(x, y, "o", color="#0072b2", markersize=3, markeredgewidth=0, alpha=0.6, zorder=2)
    chosen = y.index.isin([] if labelled is None else labelled)
    points = np.column_stack([x, y])[chosen]
    axis.scatter(points[:, 0], points[:, 1], s=16, color="#d55e00", linewidths=0, zorder=3)
    for name, point in zip(y.index[chosen], points, strict=True):
        text = axis.annotate(str(name), point, xytext=(3, 3), textcoords="offset points", fontsize=7, style="italic")
        text.set_parse_math(False)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_scales(axis: "Axes", table: "pd.DataFrame") -> None:
    for scale, color in zip(table, cycle(COLORS), strict=False):
        ordered = np.sort(table[scale].dropna())[::-1]
        label = f"{scale} x {scale} sites"
        axis.plot(np.arange(1, len(ordered) + 1), ordered, color=color, linewidth=1.2, label=label)
    axis.legend(frameon=False, fontsize=8)


def _draw_found(axis: "Axes", expected: "pd.Series", found: "pd.Series", labelled: "pd.Index | None") -> None:
    beside = expected[found.index]
    low = min(0.0, float(found.min()), float(beside.min()))
    axis.plot([low, 1], [low, 1], color="#999999", linewidth=0.8, zorder=1)
    _draw_points(axis, beside, found, labelled)
    if len(found) > 2:
        agreement = spearmanr(beside, found).statistic
        axis.set_title(f"Spearman {agreement:.2f}, means {beside.mean():.2f} and {found.mean():.2f}", fontsize=9)
    axis.set(xlabel="expected PCC", ylabel="PCC at held-out spots", xlim=(low, 1), ylim=(low, 1), aspect="equal")
