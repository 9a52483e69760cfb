from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import find_runs
from ..get import history_df
from ._figure import finish, make_axes, set_titles

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from ._figure import GivenAxes, Shown

__all__ = ["Curves", "history", "history_curves"]

TERMS: Final = {
    "loss_genes_sparser": ("genes, sparser → sparse", "#0072b2", "-"),
    "loss_genes_dense": ("genes, sparse → dense", "#d55e00", "-"),
    "loss_images_sparser": ("images, sparser → sparse", "#0072b2", ":"),
    "loss_images_dense": ("images, sparse → dense", "#d55e00", ":"),
}
"""Terms of the loss: name, colour (of Okabe and Ito, told apart by all), dash."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What the history plot shows."""

    epoch: NDArray[np.float64]
    losses: dict[str, NDArray[np.float64]]
    """Training loss by term."""
    relative: NDArray[np.float64]
    """Validation error of the network over that of the initial estimate."""
    used: int | None
    """Position of the epoch whose weights the run uses, None if its error is not known."""


def history_curves(table: "pd.DataFrame", *, keep: str) -> Curves:
    """Turn the table of :func:`s2s_scverse.get.history_df` into curves; `keep` as in `TrainingConfig`."""
    start, found = (table[name].to_numpy(float) for name in ("validation_start", "validation"))
    relative = np.divide(found, start, out=np.full(len(table), np.nan), where=start > 0)
    used = int(np.nanargmin(found)) if keep == "best" and np.isfinite(found).any() else len(table) - 1
    return Curves(
        table["epoch"].to_numpy(float),
        {name: table[name].to_numpy(float) for name in table.columns if name.startswith("loss_")},
        relative,
        used if np.isfinite(relative).any() and np.isfinite(relative[used]) else None,
    )


def history(
    adata: "AnnData",
    key: str = _keys.UNS,
    *,
    title: "str | Sequence[str] | None" = None,
    figsize: tuple[float, float] = (7.5, 2.9),
    axes: "GivenAxes" = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> "Shown":
    """Draw how a run of :func:`s2s_scverse.tl.impute` was trained.

    Left: the training loss of each term by epoch. Right: the squared error on validation spots, relative to that of the
    initial estimate (below 1, the network improves on it); a dot marks the epoch whose weights are used.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    key
        Name of the run (its `key_added`).
    title, figsize
        Titles of the two panels; width and height of the figure in inches.
    axes
        Two axes to draw into.
    show, return_fig
        Show the figure (by default as ``scanpy.settings.autoshow`` says), or return it, unknown to pyplot.

    Returns
    -------
    `None` if the figure is shown; the figure with `return_fig`; else the two axes, an object array.

    Raises
    ------
    KeyError
        If there is no such run.
    ValueError
        If nothing was trained.

    Examples
    --------
    >>> import pandas as pd, s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=8, n_cols=8, n_genes=6)
    >>> epochs = pd.DataFrame({"epoch": [0, 1], "validation": [0.9, 0.8], "validation_start": [1.0, 1.0]})
    >>> adata.uns["s2s"] = {"s2s": {"params": {}, "history": epochs.assign(loss_genes_dense=[0.5, 0.4])}}
    >>> s2s.pl.history(adata, show=False).shape
    (2,)
    """
    table = history_df(adata, key)
    if table.empty:
        msg = (
            f"the history of run {key!r} is empty: nothing was trained, because every site was measured or too few "
            "spots were; there is nothing to draw"
        )
        raise ValueError(msg)
    training = find_runs(adata)[key].get("params", {}).get("training", {})
    curves = history_curves(table, keep=str(training.get("keep", "last")))
    drawn = make_axes(axes, (1, 2), figsize, return_fig=return_fig)[0]
    _draw(drawn, curves)
    set_titles(drawn, title)
    return finish(drawn, show=show, return_fig=return_fig)


def _draw(axes: NDArray[np.object_], curves: Curves) -> None:
    from matplotlib.ticker import MaxNLocator

    losses, error = axes
    marker = "o" if len(curves.epoch) == 1 else ""
    for name, values in curves.losses.items():
        label, colour, dash = TERMS.get(name, (name.removeprefix("loss_").replace("_", " "), "#555555", "--"))
        losses.plot(curves.epoch, values, dash, color=colour, label=label, marker=marker, linewidth=1.4)
    losses.set_ylabel("training loss")
    # Room for the legend above the curves.
    losses.set_ylim(0, 1.5 * max((float(np.nanmax(values)) for values in curves.losses.values()), default=1.0))
    if curves.losses:
        losses.legend(frameon=False, fontsize=8, loc="upper right")

    error.axhline(1, color="#888888", linewidth=1, linestyle="--", label="initial estimate")
    error.plot(curves.epoch, curves.relative, color="#0072b2", linewidth=1.4, label="network")
    if curves.used is not None:
        epoch, value = curves.epoch[curves.used], curves.relative[curves.used]
        error.plot(epoch, value, "o", color="#d55e00", label=f"used: {value:.3f}, epoch {epoch:g}")
    error.set_ylabel("validation error\nrelative to initial estimate")
    low, high = error.get_ylim()
    error.set_ylim(low, high + 0.4 * (high - low))
    error.legend(frameon=False, fontsize=8, loc="upper right")
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
