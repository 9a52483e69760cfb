"""Making, titling, showing and returning figures, the same way in every plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    GivenAxes = Axes | Sequence[Axes] | NDArray[np.object_] | None
    Shown = NDArray[np.object_] | Figure | None

__all__ = ["finish", "hairline", "make_axes", "set_titles"]


def make_axes(
    given: "GivenAxes",
    shape: tuple[int, int],
    figsize: tuple[float, float],
    *,
    layout: Literal["constrained", "compressed"] = "constrained",
    return_fig: bool,
) -> NDArray[np.object_]:
    """Return axes as an array of a shape: those given, or those of a new figure, `figsize` in inches.

    A figure to be returned does not belong to pyplot: it needs no closing, and notebooks show it once.

    Raises
    ------
    TypeError
        If `given` holds something other than axes.
    ValueError
        If it holds more or fewer axes than there are panels.
    """
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if given is None:
        figure = Figure(figsize, layout=layout) if return_fig else plt.figure(figsize=figsize, layout=layout)
        return np.asarray(figure.subplots(*shape, squeeze=False))
    axes = np.asarray(given, dtype=object)
    wrong = [type(axis).__name__ for axis in axes.flat if not isinstance(axis, Axes)]
    if wrong:
        msg = f"axes must be matplotlib axes, found {wrong[0]}"
        raise TypeError(msg)
    n = shape[0] * shape[1]
    if axes.size != n:
        msg = f"expected {n} axes, one for each panel, found {axes.size}"
        raise ValueError(msg)
    return axes.reshape(shape)


def set_titles(axes: NDArray[np.object_], title: str | Sequence[str] | None) -> None:
    """Replace the titles of axes by those the user asks for.

    Raises
    ------
    ValueError
        If there are more or fewer titles than axes.
    """
    if title is None:
        return
    titles = [title] if isinstance(title, str) else list(title)
    if len(titles) != len(axes):
        msg = f"expected {len(axes)} titles, one for each panel of a row, found {len(titles)}"
        raise ValueError(msg)
    for axis, text in zip(axes, titles, strict=True):
        axis.set_title(text, fontsize=10, parse_math=False)


def finish(axes: NDArray[Any], *, show: bool | None, return_fig: bool) -> "Shown":
    """Show the figure, or return it or its axes, as scanpy does."""
    if return_fig:
        return cast("Figure", axes.flat[0].figure)
    if show is None:
        import scanpy as sc

        show = bool(sc.settings.autoshow)
    if not show:
        return axes
    from matplotlib import pyplot as plt

    plt.show()
    return None


def hairline(axis: "Axes", fraction: float) -> float:
    """Width of edges, in points, for cells whose corners lie a fraction of the axes' width from their centre.

    Edges in the colour of the cell close the seams that antialiasing leaves between cells; wider ones than these would
    make small cells look larger than they are.
    """
    radius = fraction * axis.get_position().width * axis.figure.bbox.width * 72 / axis.figure.dpi
    return min(0.4, radius / 5)
