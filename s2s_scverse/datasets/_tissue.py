"""The anatomy of a simulated section: outline, domains and cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float64]

__all__ = ["DOMAINS", "N_CELL_TYPES", "Tissue", "coordinates", "draw_tissue", "smooth_noise"]

LAYERS: Final = (0.24, 0.46, 0.54, 0.78)  # where one layer ends and the next begins; the third is thin
DOMAINS: Final = ("layer_1", "layer_2", "layer_3", "layer_4", "layer_5", "nucleus_1", "nucleus_2")
N_CELL_TYPES: Final = 8
MEAN_CELLS: Final = 10  # cells under one site, which make neighbouring sites differ


@dataclass(frozen=True)
class Tissue:
    """The anatomy: what lies where. Arrays over sites are in row-major order of the sites inside."""

    inside: NDArray[np.bool_]  # (rows, cols)
    depth: Field  # (sites,), 0 at the surface to 1 at the bottom, evenly distributed
    domain: NDArray[np.intp]  # (sites,), index into DOMAINS
    cells: Field  # (sites, N_CELL_TYPES), proportions of the cells that were drawn

    @property
    def shape(self) -> tuple[int, int]:
        return self.inside.shape[0], self.inside.shape[1]

    @property
    def n(self) -> int:
        return len(self.depth)

    def sample(self, field: Field) -> Field:
        """Values of a (rows, cols) field at the sites."""
        return field[self.inside]


def draw_tissue(rng: np.random.Generator, shape: tuple[int, int]) -> Tissue:
    y, x = coordinates(shape)
    inside = _draw_outline(rng, y, x)
    # Anatomy is drawn in bent coordinates: no boundary is a straight line or a circle.
    yb, xb = (axis + 0.09 * smooth_noise(rng, shape, 0.12) for axis in (y, x))
    tilt = rng.uniform(-0.35, 0.35)
    surface = yb + tilt * xb + rng.uniform(0.2, 0.4) * xb**2
    order = np.argsort(np.argsort(surface[inside]))
    depth = (order + 0.5) / len(order)
    domain = np.searchsorted(LAYERS, depth)
    for kind, discs in enumerate(_draw_nuclei(rng), start=len(LAYERS) + 1):
        for cy, cx, radius in discs:
            domain[np.hypot(yb - cy, xb - cx)[inside] < radius] = kind
    return Tissue(inside, depth, domain, _draw_cells(rng, inside, domain))


def _draw_outline(rng: np.random.Generator, y: Field, x: Field) -> NDArray[np.bool_]:
    """Whether each site lies in the tissue: a wavy rounded shape in one piece, minus two holes."""
    from scipy.ndimage import label

    angle = np.arctan2(y, x)
    harmonics = np.arange(2, 7)
    waves = np.cos(harmonics[:, None, None] * angle + rng.uniform(0, 2 * np.pi, 5)[:, None, None])
    amplitudes = rng.uniform(0.5, 1.0, 5) * 0.11 / harmonics
    # The largest coordinate is 1 at the edge of the array, whatever its proportions.
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
    """Discs (y, x, radius) of the two kinds of nuclei: one large, and a loose cluster of small ones."""
    side = rng.choice([-1.0, 1.0])
    large = [(rng.uniform(0.0, 0.3), side * rng.uniform(0.35, 0.5), rng.uniform(0.26, 0.32))]
    cy, cx = rng.uniform(-0.45, -0.25), -side * rng.uniform(0.3, 0.45)
    turns = rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5
    small = [(cy + 0.26 * np.sin(turn), cx + 0.26 * np.cos(turn), rng.uniform(0.075, 0.12)) for turn in turns]
    return [large, small]


def _draw_cells(rng: np.random.Generator, inside: NDArray[np.bool_], domain: NDArray[np.intp]) -> Field:
    """Proportions of the cell types under every site, of shape (sites, types)."""
    shape = inside.shape[0], inside.shape[1]
    composition = rng.dirichlet(np.full(N_CELL_TYPES, 0.4), size=len(DOMAINS)) + 0.01
    drift = np.stack([smooth_noise(rng, shape, 0.10)[inside] for _ in range(N_CELL_TYPES)], axis=1)
    expected = composition[domain] * np.exp(0.8 * drift)
    expected /= expected.sum(axis=1, keepdims=True)
    n_cells = 1 + rng.poisson(MEAN_CELLS - 1, size=len(domain))
    cells: Field = rng.multinomial(n_cells, expected) / n_cells[:, None]
    return cells


def coordinates(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Row and column of the sites of an array, centred, with half the shorter side as the unit."""
    y, x = np.indices(shape, dtype=float)
    half = (min(shape) - 1) / 2
    return (y - (shape[0] - 1) / 2) / half, (x - (shape[1] - 1) / 2) / half


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], length: float) -> Field:
    """White noise smoothed over `length` times the shorter side, of mean 0 and standard deviation 1."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape), length * min(shape), mode="reflect")
    scaled: Field = (noise - noise.mean()) / noise.std()
    return scaled
