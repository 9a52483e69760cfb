"""Simulated tissue section with known truth."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from scipy.sparse import csr_matrix

from .._checks import check_choice, check_int, check_number, check_positive, check_rng
from .._keys import ARRAY_COL, ARRAY_ROW, SPATIAL

Field = NDArray[np.float64]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows and columns
LatticeKind = Literal["square", "hex", "quincunx", "cells"]

# Share of the genes that follow each pattern; at least one gene of each.
PATTERNS: Final = {"domain": 0.30, "cell_type": 0.28, "gradient": 0.14, "hot_spot": 0.10, "flat": 0.08, "rare": 0.10}
MIN_SIDE: Final = 8
# Spacing of array rows and columns, in pitches; hex and quincunx arrays have a spot where row + column is even.
SPACING: Final = {"square": (1.0, 1.0), "hex": (0.75**0.5, 0.5), "quincunx": (0.5**0.5, 0.5**0.5), "cells": (1.0, 1.0)}
CELL_DENSITY: Final = 4.0  # cells per square of side `pitch`
LAYERS: Final = (0.24, 0.46, 0.54, 0.78)  # boundaries between layers; the third layer is thin
DOMAINS: Final = ("layer_1", "layer_2", "layer_3", "layer_4", "layer_5", "nucleus_1", "nucleus_2")
N_CELL_TYPES: Final = 8
MEAN_CELLS: Final = 10  # mean number of cells per site


def simulated_tissue(
    *,
    n_rows: int = 48,
    n_cols: int = 56,
    n_genes: int = 60,
    depth: float = 600.0,
    dispersion: float = 0.1,
    pitch: float = 100.0,
    lattice: LatticeKind = "square",
    rng: int | np.random.Generator | None = 0,
) -> AnnData:
    r"""Simulate a densely measured section whose noise-free expression is known.

    The section has an irregular outline, two holes, five curved layers (one of them thin) and two kinds of nuclei with
    sharp boundaries. Each site contains about ten cells of eight types, drawn from a mixture that depends on the domain
    and varies smoothly. All genes except ``"flat"`` ones depend on that mixture, so they share information. Counts are
    negative binomial, :math:`\mathrm{Var} = \mu + \phi \mu^2` with dispersion :math:`\phi`, and library sizes vary both
    smoothly and from site to site.

    Parameters
    ----------
    n_rows, n_cols
        Size of the array, in rows and in sites per row, at least 8 each. About 70 % of its sites lie in the tissue.
    n_genes
        Number of genes, at least 6: one for each pattern.
    depth
        Expected median library size, in counts per site.
    dispersion
        Dispersion :math:`\phi` of the counts. 0 gives Poisson counts.
    pitch
        Distance between neighbouring sites, in micrometres.
    lattice
        ``"square"``; ``"hex"``, with doubled ``array_col`` as in Visium; ``"quincunx"``, as in ST 2k arrays; or
        ``"cells"``, single cells at random positions, about 4 per square of side `pitch`, where `n_rows` and `n_cols`
        are the height and width in pitches.
    rng
        Seed or generator.

    Returns
    -------
    AnnData
        One observation per site of the tissue, in row-major order, or per cell.

        ``X``
            Raw counts, CSR, float32, of shape (sites, genes).
        ``layers["truth"]``
            :math:`\log(1 + T\,\mu_{sg} / \sum_h \mu_{sh})`, dense float32 (sites, genes), with the expected count
            :math:`\mu_{sg}` of gene *g* at site *s* and the median library size *T* of ``X``: the expected counts
            after :func:`scanpy.pp.normalize_total` and :func:`scanpy.pp.log1p`. By Jensen's inequality, the mean of
            normalised log counts is smaller.
        ``obs["array_row"]``, ``obs["array_col"]``
            Integer position in the array; not for cells.
        ``obs["domain"]``
            Layer or nucleus of the site, categorical.
        ``obsm["spatial"]``
            x and y of the site in micrometres, (sites, 2); x increases with the column, y with the row.
        ``var["pattern"]``
            Categorical pattern of the gene: ``"domain"``, ``"cell_type"``, ``"gradient"``, ``"hot_spot"``, ``"flat"``
            (the truth is constant) or ``"rare"`` (a cell-type gene with few counts).

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=24, n_genes=12)
    >>> adata.var["pattern"].value_counts().to_dict()
    {'domain': 3, 'cell_type': 3, 'gradient': 2, 'hot_spot': 2, 'flat': 1, 'rare': 1}
    >>> adata.X.shape == adata.layers["truth"].shape == (adata.n_obs, 12)
    True
    """
    shape = check_int("n_rows", n_rows, least=MIN_SIDE), check_int("n_cols", n_cols, least=MIN_SIDE)
    patterns = _gene_patterns(check_int("n_genes", n_genes, least=len(PATTERNS)))
    depth = check_positive("depth", depth)
    dispersion = check_number("dispersion", dispersion, least=0)
    pitch = check_positive("pitch", pitch)
    check_choice("lattice", lattice, get_args(LatticeKind))
    rng = check_rng(rng)

    tissue, obs, position = _draw_observations(rng, shape, lattice)
    share = _expected_shares(rng, tissue, patterns)
    smooth = tissue.canvas.smooth_noise(rng, 0.15)[tissue.at]
    rate = depth * np.exp(0.25 * smooth + rng.normal(0, 0.2, len(tissue.depth)))[:, None] * share
    if dispersion > 0:  # a Poisson distribution with gamma-distributed rates is negative binomial
        rate = rng.gamma(1 / dispersion, rate * dispersion)
    counts = rng.poisson(rate).astype(np.float64)

    totals = counts.sum(axis=1)
    target = np.median(totals[totals > 0]) if totals.any() else 0.0
    obs["domain"] = pd.Categorical.from_codes(tissue.domain, dtype=pd.CategoricalDtype(list(DOMAINS)))
    names = [f"{pattern}_{patterns[:i].count(pattern) + 1}" for i, pattern in enumerate(patterns)]
    return AnnData(
        X=csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame({"pattern": pd.Categorical(patterns, categories=list(PATTERNS))}, names),
        obsm={SPATIAL: position * pitch},
        layers={"truth": np.log1p(target * share).astype(np.float32)},
    )


def _gene_patterns(n_genes: int) -> list[str]:
    """Return the pattern of every gene, sorted as `PATTERNS`: one of each, the rest by largest remainder."""
    quota = np.array(list(PATTERNS.values())) * (n_genes - len(PATTERNS)) / sum(PATTERNS.values())
    number = np.floor(quota).astype(int)
    number[np.argsort(number - quota, kind="stable")[: n_genes - len(PATTERNS) - number.sum()]] += 1
    return [pattern for pattern, n in zip(PATTERNS, number + 1, strict=True) for _ in range(n)]


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
        return np.asarray((noise - noise.mean()) / noise.std())


@dataclass(frozen=True)
class Tissue:
    """The anatomy at all observations: sites of a lattice, or single cells."""

    canvas: Canvas
    at: Pixels  # row and column of the pixel of every observation
    depth: Field  # (n,), 0 at the surface to 1 at the bottom, evenly distributed
    domain: NDArray[np.intp]  # (n,), index into DOMAINS
    cells: Field  # (n, N_CELL_TYPES), proportions of the cells that were drawn


def _draw_observations(
    rng: np.random.Generator, shape: tuple[int, int], lattice: LatticeKind
) -> tuple[Tissue, pd.DataFrame, Field]:
    """Return the anatomy, a table of array positions, and x and y in pitches, (n, 2)."""
    alternating = lattice in ("hex", "quincunx")
    canvas = Canvas((shape[0], shape[1] * (2 if alternating else 1)), SPACING[lattice])
    inside = _draw_outline(rng, canvas)
    if lattice == "cells":
        position = rng.uniform(-0.5, np.asarray(canvas.shape) - 0.5, size=(round(CELL_DENSITY * inside.size), 2))
        pixel = np.rint(position).astype(np.intp).clip(0, np.asarray(canvas.shape) - 1)
        here = inside[tuple(pixel.T)]
        rows, cols = pixel[here].T
        obs = pd.DataFrame(index=[f"cell_{i}" for i in range(len(rows))])
        return _draw_tissue(rng, canvas, (rows, cols), 1), obs, position[here, ::-1]
    if alternating:
        inside[np.indices(canvas.shape).sum(axis=0) % 2 == 1] = False
    rows, cols = np.nonzero(inside)
    names = [f"spot_{row}x{col}" for row, col in zip(rows, cols, strict=True)]
    obs = pd.DataFrame({ARRAY_ROW: rows, ARRAY_COL: cols}, index=names)
    position = np.column_stack([cols * canvas.spacing[1], rows * canvas.spacing[0]])
    return _draw_tissue(rng, canvas, (rows, cols), MEAN_CELLS), obs, position


def _draw_tissue(rng: np.random.Generator, canvas: Canvas, at: Pixels, mean_cells: int) -> Tissue:
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
    return Tissue(canvas, at, depth, domain, cells)


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
    return np.asarray(parts == np.argmax(np.bincount(parts[inside])))


def _draw_nuclei(rng: np.random.Generator) -> list[list[tuple[float, float, float]]]:
    """Draw discs (y, x, radius) for two kinds of nuclei: one large, and a loose cluster of small ones."""
    side = rng.choice([-1.0, 1.0])
    large = [(rng.uniform(0.0, 0.3), side * rng.uniform(0.35, 0.5), rng.uniform(0.26, 0.32))]
    cy, cx = rng.uniform(-0.45, -0.25), -side * rng.uniform(0.3, 0.45)
    turns = rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5
    small = [(cy + 0.26 * np.sin(turn), cx + 0.26 * np.cos(turn), rng.uniform(0.075, 0.12)) for turn in turns]
    return [large, small]


def _draw_mixtures(
    rng: np.random.Generator, canvas: Canvas, at: Pixels, domain: NDArray[np.intp], mean_cells: int
) -> Field:
    """Draw the proportions of the cell types in every observation, (n, types)."""
    composition = rng.dirichlet(np.full(N_CELL_TYPES, 0.4), size=len(DOMAINS)) + 0.01
    drift = np.stack([canvas.smooth_noise(rng, 0.10)[at] for _ in range(N_CELL_TYPES)], axis=1)
    expected = composition[domain] * np.exp(0.8 * drift)
    expected /= expected.sum(axis=1, keepdims=True)
    n_cells = 1 + rng.poisson(mean_cells - 1, size=len(domain))
    return np.asarray(rng.multinomial(n_cells, expected) / n_cells[:, None])


def _expected_shares(rng: np.random.Generator, tissue: Tissue, patterns: list[str]) -> Field:
    """Return the expected fraction of each gene in the counts of a site, (sites, genes)."""
    abundance = rng.lognormal(0.0, 0.6, len(patterns)) * np.where(np.array(patterns) == "rare", 0.03, 1.0)
    # A weak dependence on the cell mixture in all patterns but "flat".
    response = tissue.cells @ rng.lognormal(0.0, 0.5, (N_CELL_TYPES, len(patterns)))
    y, x = (axis[tissue.at] for axis in tissue.canvas.coordinates())
    bumps = _draw_bumps(rng, y, x)
    axes = np.stack([tissue.depth - 0.5, x / 2, y / 2, np.hypot(y, x) - 0.5], axis=1)
    expected = np.empty((len(tissue.depth), len(patterns)))
    for gene, pattern in enumerate(patterns):
        match pattern:
            case "domain":
                fold = np.ones(len(DOMAINS))
                fold[rng.choice(len(DOMAINS), size=rng.integers(1, 3), replace=False)] = rng.uniform(3, 10)
                signal = fold[tissue.domain]
            case "cell_type" | "rare":
                profile = np.full(N_CELL_TYPES, 0.25)
                profile[rng.choice(N_CELL_TYPES, size=rng.integers(1, 3), replace=False)] = rng.uniform(3, 8)
                signal = tissue.cells @ profile
            case "gradient":
                direction = rng.dirichlet(np.full(axes.shape[1], 0.3))
                signal = np.exp(axes @ direction * rng.choice([-1, 1]) * rng.uniform(2, 4))
            case "hot_spot":
                signal = 1 + rng.uniform(5, 12) * bumps[:, gene % bumps.shape[1]]
            case _:
                signal = np.ones(len(tissue.depth))
        expected[:, gene] = signal * response[:, gene]
    expected *= abundance / expected.mean(axis=0)
    flat = np.array(patterns) == "flat"
    expected[:, flat] = abundance[flat]
    # The fraction of flat genes is constant, so that normalisation does not introduce a pattern.
    left = 1 - abundance[flat].sum() / abundance.sum()
    expected[:, flat] /= abundance.sum()
    expected[:, ~flat] *= left / expected[:, ~flat].sum(axis=1, keepdims=True)
    return expected


def _draw_bumps(rng: np.random.Generator, y: Field, x: Field) -> Field:
    """Return two sets of hot spots between 0 and 1, (sites, 2); genes of a set share their positions."""
    sets = []
    for n_spots in (3, 6):
        centres = rng.choice(len(y), size=n_spots, replace=False)
        width = rng.uniform(0.06, 0.14, n_spots)
        squared = (y[:, None] - y[centres]) ** 2 + (x[:, None] - x[centres]) ** 2
        sets.append(np.exp(-0.5 * squared / width**2).max(axis=1))
    return np.stack(sets, axis=1)
