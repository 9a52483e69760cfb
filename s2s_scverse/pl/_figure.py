"""Making, titling, showing and returning figures, the same way in every plot."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

GivenAxes = Axes | Sequence[Axes] | NDArray[np.object_] | None
Shown = NDArray[np.object_] | Axes | Figure | None
Titles = str | Sequence[str] | None


def make_axes(
    given: GivenAxes,
    shape: tuple[int, int],
    figsize: tuple[float, float],
    *,
    ncols: int = 1,
    layout: Literal["constrained", "compressed"] = "constrained",
    return_fig: bool,
) -> NDArray[np.object_]:
    """Return axes as an array of a shape: those given, or those of a new figure, `figsize` in inches.

    `ncols` rows of the array stand side by side. A figure to be returned does not belong to pyplot: it needs no
    closing, and notebooks show it once.
    """
    from matplotlib import pyplot as plt

    if given is None:
        figure = Figure(figsize, layout=layout) if return_fig else plt.figure(figsize=figsize, layout=layout)
        axes = figure.subplots(-(-shape[0] // ncols), ncols * shape[1], squeeze=False).reshape(-1, shape[1])
        for unused in axes[shape[0] :].flat:
            unused.remove()
        return np.asarray(axes[: shape[0]])
    axes = np.asarray(given, dtype=object)
    wrong = [type(axis).__name__ for axis in axes.flat if not isinstance(axis, Axes)]
    if wrong:
        msg = f"axes must be matplotlib axes, found {wrong[0]}"
        raise TypeError(msg)
    if axes.size != shape[0] * shape[1]:
        msg = f"expected {shape[0] * shape[1]} axes, one for each panel, found {axes.size}"
        raise ValueError(msg)
    return axes.reshape(shape)


def finish(
    axes: NDArray[Any], title: Titles, *, loc: Literal["left", "center"] = "center", show: bool | None, return_fig: bool
) -> Shown:
    """Set the titles that the user asks for, on the first row; show the figure, or return it or its axes, as scanpy.

    A single panel is returned by itself, several as an array.
    """
    if title is not None:
        titles, first = [title] if isinstance(title, str) else list(title), np.atleast_2d(axes)[0]
        if len(titles) != len(first):
            msg = f"expected {len(first)} titles, one for each panel of a row, found {len(titles)}"
            raise ValueError(msg)
        for axis, text in zip(first, titles, strict=True):
            axis.set_title(text, fontsize=10, loc=loc, parse_math=False)
    if return_fig:
        return cast("Figure", axes.flat[0].figure)
    if show is None:
        import scanpy as sc

        show = bool(sc.settings.autoshow)
    if not show:
        return axes.item() if axes.size == 1 else axes
    from matplotlib import pyplot as plt

    plt.show()
    return None
