"""Making, showing and returning figures, the same way in every plot."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Shown = NDArray[np.object_] | Figure | None

Drawn = TypeVar("Drawn")
"""Axes, or an array of them."""

__all__ = ["check_axes", "finished", "hairline", "new_figure"]


@contextmanager
def new_figure(
    size: tuple[float, float], *, managed: bool, layout: "Literal['constrained'] | None" = None
) -> "Iterator[Figure]":
    """Open a figure of `size` inches, and close it if drawing fails.

    Without a `layout`, axes stay where they are put, whatever the user's rcParams say. `managed` figures belong to
    pyplot, which can show them; the others need no closing and no display.
    """
    if not managed:
        from matplotlib.figure import Figure

        figure = Figure(figsize=size)
        figure.set_layout_engine(layout or "none")
        yield figure
        return
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=size)
    try:
        figure.set_layout_engine(layout or "none")
        yield figure
    except BaseException:
        plt.close(figure)
        raise


def finished(
    figure: "Figure", axes: Drawn, *, show: bool | None, return_fig: bool, own: bool = True
) -> "Drawn | Figure | None":
    """Show the figure, or return it or its axes.

    Where `show` is None, figures of our `own` follow ``scanpy.settings.autoshow``; those of the user are not shown.
    """
    if return_fig:
        return figure
    if show is None:
        show = own and _autoshow()
    if not show:
        return axes
    from matplotlib import pyplot as plt

    plt.show()
    return None


def _autoshow() -> bool:
    import scanpy as sc

    return bool(sc.settings.autoshow)


def check_axes(axes: "Axes | Sequence[Axes] | NDArray[np.object_]", n: int) -> "NDArray[np.object_]":
    """Return the axes that a user gave, of shape (n,).

    Raises
    ------
    TypeError
        If they are no axes.
    ValueError
        If there are more or fewer than `n`.
    """
    from matplotlib.axes import Axes

    flat = np.empty(np.size(np.asarray(axes, dtype=object)), dtype=object)
    flat[:] = np.asarray(axes, dtype=object).ravel()
    wrong = [type(axis).__name__ for axis in flat if not isinstance(axis, Axes)]
    if wrong:
        msg = f"axes must be matplotlib axes, found {wrong[0]}"
        raise TypeError(msg)
    if len(flat) != n:
        msg = f"expected {n} axes, one for each panel, found {len(flat)}"
        raise ValueError(msg)
    return flat


def hairline(axis: "Axes", fraction: float) -> float:
    """Width of edges, in points, for cells whose corners lie a fraction of the axes' width from their centre.

    Edges in the colour of the cell close the seams that antialiasing leaves between cells; wider ones than these would
    make small cells look larger than they are.
    """
    radius = fraction * axis.get_position().width * axis.figure.bbox.width * 72 / axis.figure.dpi
    return min(0.4, radius / 5)
