from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .._checks import check_name, few
from ..get import evaluation_df
from ._figure import check_axes, finished, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

    from ._figure import Shown

__all__ = ["ScorePanel", "evaluation", "score_panels"]

SCORES: Final = {
    "pcc": ("PCC", "higher is better"),
    "spearman": ("Spearman", "higher is better"),
    "ssim": ("SSIM", "higher is better"),
    "rmse": ("RMSE", "lower is better"),
    "mae": ("MAE", "lower is better"),
    "coverage": ("interval coverage", "the nominal level is best"),
}
"""Name of each score, and which way is up."""
MAX_LINES = 100
"""With more genes, lines between methods would hide the points."""


@dataclass(frozen=True, eq=False)
class ScorePanel:
    """One score of all genes by all methods."""

    score: str
    methods: tuple[str, ...]
    by_gene: NDArray[np.float64]
    """(n_genes, n_methods), NaN where a score is undefined."""

    @property
    def means(self) -> NDArray[np.float64]:
        """(n_methods,): means over the genes that all methods have a score for."""
        common = np.isfinite(self.by_gene).all(axis=1)
        if not common.any():
            return np.full(len(self.methods), np.nan)
        means: NDArray[np.float64] = self.by_gene[common].mean(axis=0)
        return means


def score_panels(table: "pd.DataFrame", scores: Sequence[str], methods: Sequence[str] | None) -> list[ScorePanel]:
    """Turn the table of :func:`s2s_scverse.get.evaluation_df` into one matrix for each score.

    Raises
    ------
    KeyError
        If a score or a method is not in the table.
    """
    found = list(dict.fromkeys(table["method"].astype(str)))
    chosen = found if methods is None else list(methods)
    missing = [name for name in chosen if name not in found]
    if missing:
        msg = f"methods without scores: {few(missing)}; scored are {few(found)}: call s2s.tl.evaluate with them too"
        raise KeyError(msg)
    have = [name for name in table.columns if name not in ("gene", "method")]
    unknown = [name for name in scores if name not in have]
    if unknown:
        msg = f"scores not found: {few(unknown)}; there are {few(have, 10)}"
        raise KeyError(msg)
    if not scores or not chosen:
        msg = "expected at least one score and one method, found an empty list"
        raise ValueError(msg)
    genes = table["gene"].unique()
    by_method = {name: table[table["method"] == name].set_index("gene").reindex(genes) for name in chosen}
    return [
        ScorePanel(score, tuple(chosen), np.stack([rows[score].to_numpy(float) for rows in by_method.values()], axis=1))
        for score in scores
    ]


def evaluation(
    adata: "AnnData",
    scores: Sequence[str] = ("pcc", "ssim", "rmse"),
    *,
    methods: Sequence[str] | None = None,
    axes: "Sequence[Axes] | NDArray[np.object_] | Axes | None" = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw the scores that :func:`s2s_scverse.tl.evaluate` found at held-out spots.

    A panel per score. In each, a row per method: every gene a dot, quartiles as a box, the mean as a number. With 100
    genes or fewer, thin lines join the dots of a gene.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.evaluate` was run on.
    scores
        Scores to draw: columns of :func:`s2s_scverse.get.evaluation_df`.
    methods
        Methods to draw, from top to bottom; all by default.
    axes
        Axes to draw into, one for each score. They are shown only with ``show=True``.
    show
        Whether to show the figure; by default as ``scanpy.settings.autoshow`` says.
    return_fig
        Return the figure, which is then not shown and, if `axes` are not given, unknown to pyplot.

    Returns
    -------
    The axes, an object array of shape (n_scores,); `None` if the figure is shown; the figure with `return_fig`. Means
    are over the genes for which all methods drawn have a score.

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
    names = _names("scores", scores)
    panels = score_panels(evaluation_df(adata), names, None if methods is None else _names("methods", methods))
    if axes is not None:
        given = check_axes(axes, len(panels))
        _draw(given, panels)
        return finished(given[0].figure, given, show=show, return_fig=return_fig, own=False)
    size = (0.6 + 2.9 * len(panels), 1.1 + 0.5 * len(panels[0].methods))
    with new_figure(size, managed=not return_fig, layout="constrained") as figure:
        made = figure.subplots(1, len(panels), squeeze=False)[0]
        _draw(made, panels)
    return finished(figure, made, show=show, return_fig=return_fig)


def _names(argument: str, given: object) -> list[str]:
    """Return one name or several as a list."""
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for name in names:
        check_name(f"each of {argument}", name)
    return [str(name) for name in names]


def _draw(axes: NDArray[np.object_], panels: list[ScorePanel]) -> None:
    for i, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
        _draw_panel(axis, panel)
        axis.set_yticklabels(panel.methods if i == 0 else [], parse_math=False)


def _draw_panel(axis: "Axes", panel: ScorePanel) -> None:
    """Draw one score: methods as rows, the first at the top."""
    n_genes, n_methods = panel.by_gene.shape
    rows = np.arange(n_methods)
    # Spread evenly, and the same for a gene in every row: nothing random in a picture.
    spread = 0.28 * (np.modf(np.arange(n_genes) * 0.6180339887)[0] - 0.5)
    heights = rows[None] + spread[:, None]
    if n_genes <= MAX_LINES:
        axis.plot(panel.by_gene.T, heights.T, color="#999999", linewidth=0.4, alpha=0.5, zorder=1)
    axis.plot(panel.by_gene, heights, "o", color="#0072b2", markersize=3, alpha=0.5, markeredgewidth=0, zorder=2)
    axis.boxplot(
        [column[np.isfinite(column)] for column in panel.by_gene.T],
        positions=rows,
        orientation="horizontal",
        widths=0.5,
        showfliers=False,
        manage_ticks=False,
        zorder=3,
        boxprops={"linewidth": 0.8},
        whiskerprops={"linewidth": 0.8},
        capprops={"linewidth": 0.8},
        medianprops={"color": "#d55e00", "linewidth": 1.6},
    )
    beside = axis.get_yaxis_transform()
    for row, mean in enumerate(panel.means):
        axis.text(1.02, row, f"{mean:.3f}" if np.isfinite(mean) else "–", transform=beside, fontsize=8, va="center")
    axis.text(1.02, -0.5, "mean", transform=beside, fontsize=8, va="bottom")
    name, direction = SCORES.get(panel.score, (panel.score, ""))
    axis.set_title(name, fontsize=10)
    axis.set_xlabel(direction, fontsize=8)
    axis.set(ylim=(n_methods - 0.5, -0.5), yticks=rows)
    axis.spines[["top", "right"]].set_visible(False)
