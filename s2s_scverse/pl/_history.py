from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .. import _keys
from .._adata import find_runs
from ..get import history_df
from ._figure import GivenAxes, Shown, finish, make_axes

TERMS: Final = {
    "loss_genes_sparser": ("genes, sparser → sparse", "#0072b2", "-"),
    "loss_genes_dense": ("genes, sparse → dense", "#d55e00", "-"),
    "loss_images_sparser": ("images, sparser → sparse", "#0072b2", ":"),
    "loss_images_dense": ("images, sparse → dense", "#d55e00", ":"),
}
"""Terms of the loss: name, colour (from the colour-blind safe palette of Okabe and Ito), dash."""


def history(
    adata: AnnData,
    key: str = _keys.UNS,
    *,
    title: str | Sequence[str] | None = None,
    figsize: tuple[float, float] = (7.5, 2.9),
    axes: GivenAxes = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the training history of a run of :func:`s2s_scverse.tl.impute`.

    Left: the training loss of each term by epoch. Right: the squared error on validation spots, relative to that of the
    initial estimate (below 1, the network improves on it); a dot marks the epoch whose weights are used. There is
    no dot if the shrinkage factor is 0.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on.
    key
        Name of the run (its `key_added`).
    title, figsize, axes, show, return_fig
        As in :func:`s2s_scverse.pl.compare`, for two panels.

    Returns
    -------
    As :func:`s2s_scverse.pl.compare`; axes of shape (2,).

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
    table, run = history_df(adata, key), find_runs(adata)[key]
    if table.empty:
        why = "the run had no network, or it was not trained since it did not help or too few spots were measured"
        msg = f"the history of run {key!r} is empty: nothing was trained ({why})"
        raise ValueError(msg)
    drawn = make_axes(axes, (1, 2), figsize, return_fig=return_fig)[0]
    _draw_losses(drawn[0], table)
    _draw_error(drawn[1], table, unused=run.get("shrinkage") == 0)
    for axis in drawn:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
    return finish(drawn, title, show=show, return_fig=return_fig)


def _draw_losses(axis: Axes, table: pd.DataFrame) -> None:
    losses = table.filter(like="loss_").astype(float)
    for name in map(str, losses):
        label, colour, dash = TERMS.get(name, (name.removeprefix("loss_").replace("_", " "), "#555555", "--"))
        marker = "o" if len(table) == 1 else ""
        axis.plot(table["epoch"], losses[name], dash, color=colour, label=label, marker=marker, linewidth=1.4)
    # Room for the legend above the curves.
    axis.set(ylabel="training loss", ylim=(0, 1.5 * float(np.nanmax(losses))))
    axis.legend(frameon=False, fontsize=8, loc="upper right")


def _draw_error(axis: Axes, table: pd.DataFrame, *, unused: bool) -> None:
    start = table["validation_start"].to_numpy(float)
    relative = table["validation"].to_numpy(float) / np.where(start > 0, start, np.nan)
    axis.axhline(1, color="#888888", linewidth=1, linestyle="--", label="initial estimate")
    axis.plot(table["epoch"], relative, color="#0072b2", linewidth=1.4, label="network")
    if unused:
        axis.plot([], [], " ", label="not used: shrinkage factor 0")
    elif np.isfinite(relative[-1]):
        epoch, value = table["epoch"].iloc[-1], relative[-1]
        axis.plot(epoch, value, "o", color="#d55e00", label=f"used: {value:.3f}, epoch {epoch:g}")
    low, high = axis.get_ylim()
    axis.set(ylabel="validation error\nrelative to initial estimate", ylim=(low, high + 0.4 * (high - low)))
    axis.legend(frameon=False, fontsize=8, loc="upper right")
