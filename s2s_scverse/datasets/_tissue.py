"""Anatomy of a simulated section: outline, domains and cells."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

__all__ = ["DOMAINS", "N_CELL_TYPES", "Canvas", "Field", "Tissue", "draw_cells", "draw_sites"]

Field = NDArray[np.float64]

LAYERS: Final = (0.24, 0.46, 0.54, 0.78)  # boundaries between layers; the third layer is thin
DOMAINS: Final = ("layer_1", "layer_2", "layer_3", "layer_4", "layer_5", "nucleus_1", "nucleus_2")
N_CELL_TYPES: Final = 8
MEAN_CELLS: Final = 10  # mean number of cells per site


@dataclass(frozen=True)
class Canvas:
    """The pixels on which anatomy is drawn."""

    shape: tuple[int, int]
    spacing: tuple[float, float] = (1.0, 1.0)  # of rows and of columns, in pitches

    def coordinates(self) -> tuple[Field, Field]:
        """Return the row and column position of every pixel, centred, in units of half the shorter side."""
        half = min((n - 1) * step for n, step in zip(self.shape, self.spacing, strict=True)) / 2
        y, x = np.indices(self.shape, dtype=float)
        centre = [(n - 1) / 2 for n in self.shape]
        return (y - centre[0]) * self.spacing[0] / half, (x - centre[1]) * self.spacing[1] / half

    def smooth_noise(self, rng: np.random.Generator, length: float) -> Field:
        """Return standardised white noise, smoothed over `length` times the shorter side."""
        shorter = min(n * step for n, step in zip(self.shape, self.spacing, strict=True))
        sigma = [length * shorter / step for step in self.spacing]
        noise = gaussian_filter(rng.standard_normal(self.shape), sigma, mode="reflect")
        scaled: Field = (noise - noise.mean()) / noise.std()
        return scaled


@dataclass(frozen=True)
class Tissue:
    """The anatomy at all observations: sites of a lattice, or single cells."""

    canvas: Canvas
    at: tuple[NDArray[np.intp], NDArray[np.intp]]  # row and column of the pixel of every observation
    depth: Field  # (n,), 0 at the surface to 1 at the bottom, evenly distributed
    domain: NDArray[np.intp]  # (n,), index into DOMAINS
    cells: Field  # (n, N_CELL_TYPES), proportions of the cells that were drawn

    @property
    def n(self) -> int:
        return len(self.depth)

    def sample(self, field: Field) -> Field:
        """Return the values of a field of pixels at the observations."""
        return field[self.at]


def draw_sites(rng: np.random.Generator, canvas: Canvas, *, alternating: bool) -> Tissue:
    """Draw a tissue observed at all pixels, or at those whose row + column is even, in row-major order."""
    inside = _draw_outline(rng, canvas)
    if alternating:
        inside[np.indices(canvas.shape).sum(axis=0) % 2 == 1] = False
    return _draw_tissue(rng, canvas, np.nonzero(inside), MEAN_CELLS)


def draw_cells(rng: np.random.Generator, canvas: Canvas, density: float) -> tuple[Tissue, Field]:
    """Draw a tissue of single cells, about `density` per pixel, and their positions (row, column), (n, 2)."""
    inside = _draw_outline(rng, canvas)
    position = rng.uniform(-0.5, np.asarray(canvas.shape) - 0.5, size=(round(density * inside.size), 2))
    pixel = np.rint(position).astype(np.intp).clip(0, np.asarray(canvas.shape) - 1)
    here = inside[tuple(pixel.T)]
    rows, cols = pixel[here].T
    return _draw_tissue(rng, canvas, (rows, cols), 1), position[here]


def _draw_tissue(rng: np.random.Generator, canvas: Canvas, at: tuple[NDArray[np.intp], ...], mean_cells: int) -> Tissue:
    y, x = canvas.coordinates()
    # Distorted coordinates avoid straight and circular boundaries.
    yb, xb = (axis + 0.09 * canvas.smooth_noise(rng, 0.12) for axis in (y, x))
    tilt = rng.uniform(-0.35, 0.35)
    surface = yb + tilt * xb + rng.uniform(0.2, 0.4) * xb**2
    order = np.argsort(np.argsort(surface[at]))
    depth = (order + 0.5) / len(order)
    domain = np.searchsorted(LAYERS, depth)
    for kind, discs in enumerate(_draw_nuclei(rng), start=len(LAYERS) + 1):
        for cy, cx, radius in discs:
            domain[np.hypot(yb - cy, xb - cx)[at] < radius] = kind
    cells = _draw_mixtures(rng, canvas, at, domain, mean_cells)
    return Tissue(canvas, (at[0], at[1]), depth, domain, cells)


def _draw_outline(rng: np.random.Generator, canvas: Canvas) -> NDArray[np.bool_]:
    """Return which pixels lie in the tissue: a wavy rounded shape in one piece, minus two holes."""
    y, x = canvas.coordinates()
    angle = np.arctan2(y, x)
    harmonics = np.arange(2, 7)
    waves = np.cos(harmonics[:, None, None] * angle + rng.uniform(0, 2 * np.pi, 5)[:, None, None])
    amplitudes = rng.uniform(0.5, 1.0, 5) * 0.11 / harmonics
    # The largest coordinate is 1 at the edge of the array, for any aspect ratio.
    ratio = np.array([np.abs(y).max(), np.abs(x).max()])
    radius = ((np.abs(y) / ratio[0]) ** 2.6 + (np.abs(x) / ratio[1]) ** 2.6) ** (1 / 2.6)
    inside: NDArray[np.bool_] = radius < 0.93 + np.tensordot(amplitudes, waves, axes=1)
    side = rng.uniform(0, 2 * np.pi)
    for turn, size in ((side, 0.10), (side + rng.uniform(2.0, 4.0), 0.15)):
        cy, cx = 0.5 * ratio * (np.sin(turn), np.cos(turn))
        dy, dx = y - cy, x - cx
        stretch = rng.uniform(0.8, 1.25)
        inside &= np.hypot(dy * stretch, dx / stretch) > size * (1 + 0.2 * np.cos(3 * np.arctan2(dy, dx) + turn))
    parts, _ = label(inside)
    largest: NDArray[np.bool_] = parts == np.argmax(np.bincount(parts[inside]))
    return largest


def _draw_nuclei(rng: np.random.Generator) -> list[list[tuple[float, float, float]]]:
    """Draw discs (y, x, radius) for two kinds of nuclei: one large, and a loose cluster of small ones."""
    side = rng.choice([-1.0, 1.0])
    large = [(rng.uniform(0.0, 0.3), side * rng.uniform(0.35, 0.5), rng.uniform(0.26, 0.32))]
    cy, cx = rng.uniform(-0.45, -0.25), -side * rng.uniform(0.3, 0.45)
    turns = rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5
    small = [(cy + 0.26 * np.sin(turn), cx + 0.26 * np.cos(turn), rng.uniform(0.075, 0.12)) for turn in turns]
    return [large, small]


def _draw_mixtures(
    rng: np.random.Generator,
    canvas: Canvas,
    at: tuple[NDArray[np.intp], ...],
    domain: NDArray[np.intp],
    mean_cells: int,
) -> Field:
    """Draw the proportions of the cell types in every observation, (n, types)."""
    composition = rng.dirichlet(np.full(N_CELL_TYPES, 0.4), size=len(DOMAINS)) + 0.01
    drift = np.stack([canvas.smooth_noise(rng, 0.10)[at] for _ in range(N_CELL_TYPES)], axis=1)
    expected = composition[domain] * np.exp(0.8 * drift)
    expected /= expected.sum(axis=1, keepdims=True)
    n_cells = 1 + rng.poisson(mean_cells - 1, size=len(domain))
    cells: Field = rng.multinomial(n_cells, expected) / n_cells[:, None]
    return cells
