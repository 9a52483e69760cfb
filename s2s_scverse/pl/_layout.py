"""Where the panels of `pl.compare` lie: everything in inches, so that any number of panels keeps its spacing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHARACTER", "MIN_HEIGHT", "Box", "Layout", "plan_layout"]

Box = tuple[float, float, float, float]

MARGIN = 0.08
GAP = 0.10
LABEL = 0.28  # gene names
LINE = 0.17  # of a title
NOTE = 0.17
BAR = 0.09
BAR_GAP = 0.10
BAR_TEXT = 0.52  # tick labels and label of a colour bar
MIN_WIDTH = 0.85  # so that a title fits above a thin section
MIN_HEIGHT = 1.0  # so that a colour bar's label fits beside a flat one
LONGEST = 1.7  # longer side of a panel, in panel sizes
CHARACTER = 0.085  # width of a character of a title or gene name


@dataclass(frozen=True)
class Layout:
    """Boxes as matplotlib's `add_axes` takes them: left, bottom, width, height in fractions of the figure."""

    size: tuple[float, float]
    """Width and height of the figure."""
    panels: tuple[tuple[Box, ...], ...]
    """One box for each row and column."""
    bars: tuple[tuple[Box, ...], ...]
    """One box for each row and colour bar."""
    characters: int
    """Characters of a title that fit above a panel."""


def plan_layout(
    extent: NDArray[np.float64],
    groups: tuple[int, ...],
    n_rows: int,
    *,
    panel_size: float,
    notes: bool,
    titles: list[str],
    longest_name: int,
) -> Layout:
    """Lay out rows of panels.

    Parameters
    ----------
    extent
        (2,): width and height of a panel in data units.
    groups
        Number of panels before each colour bar.
    n_rows
        Number of rows.
    panel_size
        Side of a square panel, in inches; others have the same area, up to a limit.
    notes
        Whether small text stands above panels.
    titles
        Titles of the first row.
    longest_name
        Characters of the longest gene name.
    """
    scale = min(panel_size / np.sqrt(extent.prod()), LONGEST * panel_size / extent.max())
    width, height = (float(side) for side in extent * scale)
    slot_width = max(width, MIN_WIDTH)
    slot_height = max(height, MIN_HEIGHT, longest_name * CHARACTER)
    characters = max(int((slot_width + GAP) / CHARACTER), 8)
    lines = max(-(-len(title) // characters) for title in titles)
    note = NOTE if notes else 0.0

    left, panels, bars = MARGIN + LABEL, [], []
    for number in groups:
        for _ in range(number):
            panels.append(left + (slot_width - width) / 2)
            left += slot_width + GAP
        bars.append(left - GAP + BAR_GAP)
        left += BAR_GAP - GAP + BAR + BAR_TEXT
    step = slot_height + note + GAP
    total_width = left - BAR_TEXT + max(BAR_TEXT, MARGIN)
    top = MARGIN + lines * LINE + note
    total_height = top + n_rows * step - note - GAP + MARGIN + 0.05

    def box(x: float, y: float, w: float, h: float) -> Box:
        return x / total_width, 1 - (y + h) / total_height, w / total_width, h / total_height

    tops = [top + row * step for row in range(n_rows)]
    bar_height = min(slot_height, max(height, MIN_HEIGHT)) * 0.86
    return Layout(
        (total_width, total_height),
        tuple(tuple(box(x, y + (slot_height - height) / 2, width, height) for x in panels) for y in tops),
        tuple(tuple(box(x, y + (slot_height - bar_height) / 2, BAR, bar_height) for x in bars) for y in tops),
        characters,
    )
