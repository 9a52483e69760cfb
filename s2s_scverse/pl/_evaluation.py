from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes

from .._checks import check_name, few
from ..get import evaluation_df
from ._figure import GivenAxes, Shown, finish, make_axes

SCORES: Final = {
    "pcc": ("PCC", "higher is better"),
    "spearman": ("Spearman", "higher is better"),
    "ssim": ("SSIM", "higher is better"),
    "rmse": ("RMSE", "lower is better"),
    "mae": ("MAE", "lower is better"),
    "coverage": ("interval coverage", "the nominal level is best"),
}
"""Name of each score, and which values are better."""
MAX_LINES = 100  # largest number of genes whose dots are joined: more lines would hide the dots


def evaluation(
    adata: AnnData,
    scores: Sequence[str] = ("pcc", "ssim", "rmse"),
    *,
    keys: Sequence[str] | None = None,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the scores that :func:`s2s_scverse.tl.evaluate` found at held-out spots.

    Each panel shows a score, and each row a method: genes as dots, their quartiles as a box, and as a number the mean
    over the genes for which all drawn methods have a score. With 100 genes or fewer, lines join the dots of a gene.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.evaluate` was run on.
    scores
        Scores to draw: columns of :func:`s2s_scverse.get.evaluation_df`.
    keys
        Methods to draw, from top to bottom; all by default.
    title, figsize, axes, show, return_fig
        As in :func:`s2s_scverse.pl.compare`, for one panel per score.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (n_scores,).

    Raises
    ------
    KeyError
        If there are no scores, or a score or a method is not among them.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> for method in ("nearest", "linear"):
    ...     s2s.tl.interpolate(dense, method)
    >>> s2s.tl.evaluate(dense, ["nearest", "linear"])
    >>> [axes.get_title() for axes in s2s.pl.evaluation(dense, show=False)]
    ['PCC', 'SSIM', 'RMSE']
    """
    tables = _score_tables(evaluation_df(adata), _names("scores", scores), keys)
    chosen = list(next(iter(tables.values())))
    size = figsize or (0.6 + 2.9 * len(tables), 1.1 + 0.5 * len(chosen))
    drawn = make_axes(axes, (1, len(tables)), size, return_fig=return_fig)[0]
    for axis, (score, by_gene) in zip(drawn, tables.items(), strict=True):
        _draw_score(axis, score, by_gene)
        axis.set_yticklabels(chosen if axis is drawn[0] else [], parse_math=False)
    return finish(drawn, title, show=show, return_fig=return_fig)


def _score_tables(table: pd.DataFrame, scores: list[str], keys: object) -> dict[str, pd.DataFrame]:
    """Turn the table of :func:`s2s_scverse.get.evaluation_df` into one of genes by methods for each score."""
    known = [name for name in table.columns if name not in ("gene", "method")]
    scored = list(dict.fromkeys(table["method"].astype(str)))
    chosen = scored if keys is None else _names("keys", keys)
    if missing := [name for name in chosen if name not in scored]:
        msg = f"keys without scores: {few(missing)}; scored are {few(scored)}: call s2s.tl.evaluate with them too"
        raise KeyError(msg)
    if unknown := [name for name in scores if name not in known]:
        msg = f"scores not found: {few(unknown)}; there are {few(known, 10)}"
        raise KeyError(msg)
    if not scores or not chosen:
        msg = "expected at least one score and one method, found an empty list"
        raise ValueError(msg)
    by_method = {method: table[table["method"] == method].set_index("gene")[scores].astype(float) for method in chosen}
    return {name: pd.DataFrame({method: rows[name] for method, rows in by_method.items()}) for name in scores}


def _names(argument: str, given: object) -> list[str]:
    """Return one name or several as a list."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for name in names:
        check_name(f"each of {argument}", name)
    return [str(name) for name in names]


def _draw_score(axis: Axes, score: str, by_gene: pd.DataFrame) -> None:
    """Draw one score: methods as rows, the first at the top."""
    n_genes, n_methods = by_gene.shape
    rows = np.arange(n_methods)
    # Spread evenly, and the same for a gene in every row: nothing random in a picture.
    spread = 0.28 * (np.modf(np.arange(n_genes) * 0.6180339887)[0] - 0.5)
    heights = rows[None] + spread[:, None]
    if n_genes <= MAX_LINES:
        axis.plot(by_gene.T, heights.T, color="#999999", linewidth=0.4, alpha=0.5, zorder=1)
    axis.plot(by_gene, heights, "o", color="#0072b2", markersize=3, alpha=0.5, markeredgewidth=0, zorder=2)
    look: Any = {name: {"linewidth": 0.8} for name in ("boxprops", "whiskerprops", "capprops")}
    look |= {"medianprops": {"color": "#d55e00", "linewidth": 1.6}, "widths": 0.5, "zorder": 3}
    boxes = [by_gene[method].dropna() for method in by_gene]
    axis.boxplot(boxes, positions=rows, orientation="horizontal", showfliers=False, manage_ticks=False, **look)
    beside = axis.get_yaxis_transform()
    # Over the genes that all methods have a score for.
    for row, mean in enumerate(by_gene.dropna().mean()):
        axis.text(1.02, row, f"{mean:.3f}" if np.isfinite(mean) else "–", transform=beside, fontsize=8, va="center")
    axis.text(1.02, -0.5, "mean", transform=beside, fontsize=8, va="bottom")
    name, direction = SCORES.get(score, (score, ""))
    axis.set_title(name, fontsize=10)
    axis.set_xlabel(direction, fontsize=8)
    axis.set(ylim=(n_methods - 0.5, -0.5), yticks=rows)
    axis.spines[["top", "right"]].set_visible(False)
