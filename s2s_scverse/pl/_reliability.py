from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from .. import _keys
from .._checks import check_adata, check_genes, few
from ..get import evaluation_df, reliability_df
from ..get._tables import read_reliability
from ._figure import GivenAxes, Shown, finish, make_axes

LABELLED = 8  # number of genes whose names are written
LONGEST = 20  # characters of a name beside its dot
COLORS = ("#e69f00", "#009e73", "#cc79a7", "#d55e00")  # of scales


def reliability(
    adata: AnnData,
    *,
    genes: str | Sequence[str] | None = None,
    key: str = _keys.UNS,
    scales: int | Sequence[int] | None = None,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
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
    title, figsize, axes, show, return_fig
        As in :func:`s2s_scverse.pl.compare`, for one to three panels.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_panels,).

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
    >>> s2s.pl.reliability(dense, show=False).get_ylabel()
    'expected PCC'
    """
    check_adata(adata)
    labelled = None if genes is None else adata.var_names[check_genes(adata, genes)]
    expected = read_reliability(adata, key).sort_values(ascending=False, kind="stable")
    if labelled is not None and len(without := labelled.difference(expected.index)):
        msg = f"no reliability of {few(without)}: these genes were not imputed, or are constant at the measured spots"
        raise ValueError(msg)
    found, column = _found(adata, key, expected), _keys.COVARIATE_GAIN.format(key)
    coarser = pd.DataFrame() if scales is None else reliability_df(adata, key=key, scales=scales)
    n_panels = 1 + (column in adata.var) + (len(found) > 0)
    drawn = make_axes(axes, (1, n_panels), figsize or (4.2 * n_panels, 3.4), return_fig=return_fig)[0]
    _draw_ranked(drawn[0], expected, labelled)
    for scale, color in zip(coarser, cycle(COLORS), strict=False):
        ordered = np.sort(coarser[scale].dropna())[::-1]
        ranks = np.arange(1, len(ordered) + 1)
        drawn[0].plot(ranks, ordered, color=color, linewidth=1.2, label=f"{scale} x {scale} sites")
    if scales is not None:
        drawn[0].legend(frameon=False, fontsize=8)
    drawn[0].set(xlabel="genes, most reliable first", ylabel="expected PCC", ylim=(0, 1))
    if column in adata.var:
        gain = adata.var[column].astype(float).dropna().sort_values(ascending=False, kind="stable")
        _draw_ranked(drawn[1], gain, labelled)
        drawn[1].axhline(0, color="#999999", linewidth=0.8, zorder=1)
        drawn[1].set(xlabel="genes, largest gain first", ylabel="variance explained by covariates")
    if len(found):
        _draw_found(drawn[-1], expected[found.index], found, labelled)
    return finish(drawn, title, show=show, return_fig=return_fig)


def _found(adata: AnnData, key: str, expected: pd.Series) -> pd.Series:
    """Return the PCC at held-out spots of the genes that have one: none if the run was not scored."""
    if _keys.EVALUATION not in adata.uns.get(_keys.UNS, {}):
        return pd.Series(dtype=float)
    table = evaluation_df(adata)
    scores: pd.Series = table[table["method"] == key].set_index("gene")["pcc"].astype(float)
    return scores.reindex(expected.index).dropna()


def _draw_ranked(axis: Axes, values: pd.Series, labelled: pd.Index | None) -> None:
    """Draw values in order; label some at equal distances, or the `labelled` ones."""
    some = np.unique(np.linspace(0, len(values) - 1, min(LABELLED, len(values))).round().astype(int))
    ranks = pd.Series(np.arange(1, len(values) + 1), values.index)
    _draw_points(axis, ranks, values, values.index[some] if labelled is None else labelled)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_found(axis: Axes, expected: pd.Series, found: pd.Series, labelled: pd.Index | None) -> None:
    """Draw the PCC found at held-out spots against the one expected."""
    low = min(0.0, float(found.min()), float(expected.min()))
    axis.plot([low, 1], [low, 1], color="#999999", linewidth=0.8, zorder=1)
    _draw_points(axis, expected, found, [] if labelled is None else labelled)
    if len(found) > 2:
        agreement = spearmanr(expected, found).statistic
        axis.set_title(f"Spearman {agreement:.2f}, means {expected.mean():.2f} and {found.mean():.2f}", fontsize=9)
    axis.set(xlabel="expected PCC", ylabel="PCC at held-out spots", xlim=(low, 1), ylim=(low, 1), aspect="equal")


def _draw_points(axis: Axes, x: pd.Series, y: pd.Series, labelled: Sequence[str] | pd.Index) -> None:
    """Draw a dot for each gene, those to label in another colour and with their names."""
    axis.plot(x, y, "o", color="#0072b2", markersize=3, markeredgewidth=0, alpha=0.6, zorder=2)
    chosen = y.index.isin(labelled)
    axis.scatter(x[chosen], y[chosen], s=16, color="#d55e00", linewidths=0, zorder=3)
    beside: Any = {"xytext": (3, 3), "textcoords": "offset points"}
    for name, at in zip(y.index[chosen].astype(str), np.column_stack([x, y])[chosen], strict=True):
        short = name if len(name) <= LONGEST else f"{name[:LONGEST]}\N{HORIZONTAL ELLIPSIS}"
        axis.annotate(short, at, fontsize=7, style="italic", parse_math=False, **beside)
    axis.spines[["top", "right"]].set_visible(False)
