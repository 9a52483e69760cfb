"""Simulated tissue section with known truth."""

from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from .._checks import check_choice, check_int, check_number, check_positive, check_rng
from .._keys import ARRAY_COL, ARRAY_ROW, SPATIAL
from ._tissue import DOMAINS, N_CELL_TYPES, Canvas, Field, Tissue, draw_cells, draw_sites

__all__ = ["simulated_tissue"]

LatticeKind = Literal["square", "hex", "quincunx", "cells"]

# Share of the genes that follow each pattern; at least one gene of each.
PATTERNS: Final = {"domain": 0.30, "cell_type": 0.28, "gradient": 0.14, "hot_spot": 0.10, "flat": 0.08, "rare": 0.10}
MIN_SIDE: Final = 8
# Spacing of array rows and columns, in pitches; hex and quincunx arrays have a spot where row + column is even.
SPACING: Final = {"square": (1.0, 1.0), "hex": (0.75**0.5, 0.5), "quincunx": (0.5**0.5, 0.5**0.5), "cells": (1.0, 1.0)}
CELL_DENSITY: Final = 4.0  # cells per square of side `pitch`


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
    library = depth * np.exp(0.25 * tissue.sample(tissue.canvas.smooth_noise(rng, 0.15)) + rng.normal(0, 0.2, tissue.n))
    rate = library[:, None] * share
    if dispersion > 0:  # a Poisson distribution with gamma-distributed rates is negative binomial
        rate = rng.gamma(1 / dispersion, rate * dispersion)
    counts = rng.poisson(rate).astype(np.float64)

    totals = counts.sum(axis=1)
    target = np.median(totals[totals > 0]) if totals.any() else 0.0
    obs["domain"] = pd.Categorical.from_codes(tissue.domain, dtype=pd.CategoricalDtype(list(DOMAINS)))
    return AnnData(
        X=csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(
            {"pattern": pd.Categorical(patterns, categories=list(PATTERNS))},
            index=[f"{pattern}_{patterns[:i].count(pattern) + 1}" for i, pattern in enumerate(patterns)],
        ),
        obsm={SPATIAL: position * pitch},
        layers={"truth": np.log1p(target * share).astype(np.float32)},
    )


def _draw_observations(
    rng: np.random.Generator, shape: tuple[int, int], lattice: LatticeKind
) -> tuple[Tissue, pd.DataFrame, Field]:
    """Return the anatomy, a table of array positions, and x and y in pitches, (n, 2)."""
    if lattice == "cells":
        tissue, position = draw_cells(rng, Canvas(shape), CELL_DENSITY)
        return tissue, pd.DataFrame(index=[f"cell_{i}" for i in range(tissue.n)]), position[:, ::-1]
    alternating = lattice != "square"
    canvas = Canvas((shape[0], shape[1] * (2 if alternating else 1)), SPACING[lattice])
    tissue = draw_sites(rng, canvas, alternating=alternating)
    rows, cols = tissue.at
    names = [f"spot_{row}x{col}" for row, col in zip(rows, cols, strict=True)]
    obs = pd.DataFrame({ARRAY_ROW: rows, ARRAY_COL: cols}, index=names)
    return tissue, obs, np.column_stack([cols * canvas.spacing[1], rows * canvas.spacing[0]])


def _gene_patterns(n_genes: int) -> list[str]:
    """Return the pattern of every gene, sorted as `PATTERNS`: one of each, the rest by largest remainder."""
    quota = np.array(list(PATTERNS.values())) * (n_genes - len(PATTERNS)) / sum(PATTERNS.values())
    number = np.floor(quota).astype(int)
    number[np.argsort(number - quota, kind="stable")[: n_genes - len(PATTERNS) - number.sum()]] += 1
    return [pattern for pattern, n in zip(PATTERNS, number + 1, strict=True) for _ in range(n)]


def _expected_shares(rng: np.random.Generator, tissue: Tissue, patterns: list[str]) -> Field:
    """Return the expected fraction of each gene in the counts of a site, (sites, genes)."""
    abundance = rng.lognormal(0.0, 0.6, len(patterns)) * np.where(np.array(patterns) == "rare", 0.03, 1.0)
    # A weak dependence on the cell mixture in all patterns but "flat".
    response = tissue.cells @ rng.lognormal(0.0, 0.5, (N_CELL_TYPES, len(patterns)))
    bumps = _draw_bumps(rng, tissue)
    y, x = (tissue.sample(axis) for axis in tissue.canvas.coordinates())
    axes = np.stack([tissue.depth - 0.5, x / 2, y / 2, np.hypot(y, x) - 0.5], axis=1)
    expected = np.empty((tissue.n, len(patterns)))
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
                signal = np.exp(
                    axes @ rng.dirichlet(np.full(axes.shape[1], 0.3)) * rng.choice([-1, 1]) * rng.uniform(2, 4)
                )
            case "hot_spot":
                signal = 1 + rng.uniform(5, 12) * bumps[:, gene % bumps.shape[1]]
            case _:
                signal = np.ones(tissue.n)
        expected[:, gene] = signal * response[:, gene]
    expected *= abundance / expected.mean(axis=0)
    flat = np.array(patterns) == "flat"
    expected[:, flat] = abundance[flat]
    # The fraction of flat genes is constant, so that normalisation does not introduce a pattern.
    left = 1 - abundance[flat].sum() / abundance.sum()
    expected[:, flat] /= abundance.sum()
    expected[:, ~flat] *= left / expected[:, ~flat].sum(axis=1, keepdims=True)
    return expected


def _draw_bumps(rng: np.random.Generator, tissue: Tissue) -> Field:
    """Return two sets of hot spots between 0 and 1, (sites, 2); genes of a set share their positions."""
    y, x = (tissue.sample(axis) for axis in tissue.canvas.coordinates())
    sets = []
    for n_spots in (3, 6):
        centres = rng.choice(tissue.n, size=n_spots, replace=False)
        width = rng.uniform(0.06, 0.14, n_spots)
        squared = (y[:, None] - y[centres]) ** 2 + (x[:, None] - x[centres]) ** 2
        sets.append(np.exp(-0.5 * squared / width**2).max(axis=1))
    return np.stack(sets, axis=1)
