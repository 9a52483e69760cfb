"""Registry of methods: plain functions (spots, values, sites, covariates) -> prediction, or prediction and std.

Spots (n, 2) and sites (m, 2) are in units of the spot spacing, values (n, n_genes) log-normalised. Covariates are what
the image shows at spots (n, k) and at sites (m, k), or None. All get the counts of every spot, ``totals=`` (n,); those
whose name ends in "no depth" do not use them. A method is added by a function and a line in `METHODS`.
"""
# ruff: noqa: ARG001

from collections.abc import Callable
from functools import partial
from typing import Any

import anndata as ad
import numpy as np
from protocol import Array, Covariates
from rivals import RIVALS, run_rival
from scipy.spatial import cKDTree

import s2s_scverse as s2s

Answer = Any  # an array (m, n_genes), or a pair of these: mean and standard deviation


def gene_mean(spots: Array, values: Array, sites: Array, covariates: Covariates | None, *, totals: Array) -> Answer:
    """Mean of the measured spots."""
    return np.broadcast_to(values.mean(axis=0), (len(sites), values.shape[1]))


def idw(spots: Array, values: Array, sites: Array, covariates: Covariates | None, *, totals: Array) -> Answer:
    """Inverse distance weighting of the 8 nearest spots."""
    distance, nearest = cKDTree(spots).query(sites, k=min(8, len(spots)))
    weight = 1 / np.maximum(distance, 1e-9)
    return np.einsum("mk,mkg->mg", weight / weight.sum(axis=1, keepdims=True), values[nearest])


def tesla_rule(spots: Array, values: Array, sites: Array, covariates: Covariates | None, *, totals: Array) -> Answer:
    """Mean of the ten nearest spots in x, y and colour, which is scaled to the spread of x and y."""
    colour = leading_component(covariates)
    scale = np.vstack([spots, sites]).std(axis=0).max()
    at = [np.column_stack([place, scale * each]) for place, each in zip((spots, sites), colour, strict=True)]
    nearest = cKDTree(at[0]).query(at[1], k=min(10, len(spots)))[1]
    return values[nearest].mean(axis=1)


def leading_component(covariates: Covariates) -> Covariates:
    """First principal component of the standardised covariates, with unit variance."""
    both = np.vstack(covariates)
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-9)
    component = both @ np.linalg.svd(both, full_matrices=False)[2][0]
    component /= component.std()
    return component[: len(covariates[0])], component[len(covariates[0]) :]


def interpolate(
    spots: Array,
    values: Array,
    sites: Array,
    covariates: Covariates | None,
    *,
    totals: Array,
    method: str,
    depth: bool = True,
) -> Answer:
    """One method of `tl.interpolate`."""
    section, order = on_lattice(spots, values, sites, None, totals)
    counts = "totals" if depth else None
    s2s.tl.interpolate(section, method, max_distance=None, total_counts=counts, key_added="run")
    return section.layers["run"][order]


def impute(
    spots: Array,
    values: Array,
    sites: Array,
    covariates: Covariates | None,
    *,
    totals: Array,
    preset: str,
    image: bool = False,
    seed: int = 0,
) -> Answer:
    """`tl.impute`, with the image's features as covariates if `image`."""
    section, order = on_lattice(spots, values, sites, covariates if image else None, totals)
    s2s.tl.impute(
        section,
        preset=preset,
        max_distance=None,
        total_counts="totals",
        covariates="image" if image else None,
        rng=seed,
        key_added="run",
        progress=False,
    )
    return section.layers["run"][order], section.layers["run_std"][order]


def on_lattice(
    spots: Array, values: Array, sites: Array, covariates: Covariates | None, totals: Array
) -> tuple[ad.AnnData, np.ndarray]:
    """Return an AnnData on its lattice, and the rows of the sites in it."""
    n = len(spots)
    names = np.arange(n + len(sites)).astype(str)
    adata = ad.AnnData(np.ones((len(names), values.shape[1]), np.float32))
    adata.obs_names = names
    adata.obsm["spatial"] = np.vstack([spots, sites])
    dense = s2s.pp.grid(adata, upsample=1)
    dense = dense[dense.obs_names.isin(names)].copy()  # without holes of the tissue
    rows = dense.obs_names.get_indexer(names)
    if covariates is not None:
        dense.obsm["image"] = np.vstack(covariates)[dense.obs_names.astype(int)].astype(np.float32)
    measured = np.zeros(len(names), bool)
    measured[rows[:n]] = True
    s2s.pp.sparsify(dense, keep=measured)
    filled = np.zeros(dense.shape, np.float32)
    filled[rows[:n]] = values
    dense.X = filled
    dense.obs["totals"] = 1.0
    dense.obs.iloc[rows[:n], dense.obs.columns.get_loc("totals")] = totals
    return dense, rows[n:]


METHODS: dict[str, Callable[..., Answer]] = {
    "gene mean": gene_mean,
    "nearest": partial(interpolate, method="nearest"),
    "linear": partial(interpolate, method="linear"),
    "inverse distance": idw,
    "kriging, no depth": partial(interpolate, method="kriging", depth=False),
    "kriging": partial(interpolate, method="kriging"),
    "PCA kriging, no depth": partial(interpolate, method="pca_kriging", depth=False),
    "PCA kriging": partial(interpolate, method="pca_kriging"),
    "stack, no depth": partial(interpolate, method="stack", depth=False),
    "s2s": impute,
    "TESLA's rule": tesla_rule,
    "s2s with image": partial(impute, image=True),
    **{name: partial(run_rival, name) for name in RIVALS},
}
GUIDED = ("TESLA's rule", "s2s with image", *(name for name, rival in RIVALS.items() if rival.guided))
"""Methods that need an image."""
