"""Input of `tl.impute`, `tl.interpolate` and `get.draws`, read from an AnnData."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._calibration import too_few_spots
from .._checks import check_number, few
from .._lattice import SectionOnLattice
from ._genes import GeneMatrix, Survey, find_depth, read_molecules
from ._runs import find_runs, find_source, read_visible
from ._sections import read_mask, read_measured, read_sections

__all__ = ["MAX_DISTANCE", "Inputs", "check_apart", "covariate_names", "read_inputs", "read_inputs_of_run"]

MAX_DISTANCE = 5.0  # largest distance of a predicted site from the nearest spot, in units of the spot spacing


@dataclass(frozen=True, eq=False)
class Inputs:
    """Sections with the values of their most variable genes, and the matrix of all genes."""

    sections: list[SectionOnLattice]
    matrix: GeneMatrix  # all measured spots
    rows: list[NDArray[np.int64]]  # rows of the matrix of each section's spots
    measured: NDArray[np.bool_]  # (n_obs,)
    counts: bool  # whether values look like counts
    layer: str | None  # source of the values, None for X
    depth: str  # source of the depth: "values", a column of obs, or "none"


def read_inputs(
    adata: AnnData,
    written: NDArray[np.bool_],
    *,
    layer: str | None,
    max_distance: object,
    total_counts: object,
    denoise: bool,
    n_informative: int,
    covariates: object = None,
    visible: NDArray[np.bool_] | None = None,
) -> Inputs:
    """Read the measured rows; `written` (n_vars,) are the genes to predict.

    To repeat an earlier run, `visible` (n_obs,) holds the sites that were measured then.
    """
    if total_counts is not None and not isinstance(total_counts, str):
        msg = f"total_counts must be 'auto', the name of a column of adata.obs or None, found {total_counts!r}"
        raise TypeError(msg)
    at_sites = read_covariates(adata, covariates)
    sections, measured = _read_sections(adata, max_distance, visible)
    if at_sites is not None:
        sections = [replace(each, covariates=_standardised(at_sites[each.rows])) for each in sections]
    matrix = GeneMatrix(adata, measured, np.arange(adata.n_vars), layer=layer).by_gene()
    rows = [np.searchsorted(np.flatnonzero(measured), section.spots) for section in sections]
    survey = Survey.of(matrix, rows, written)
    informative = matrix.read(survey.most_variable(n_informative), finite=False)
    sections = [
        _with_counts(adata, replace(section, values=informative[spots]), layer, total_counts, denoise=denoise)
        for section, spots in zip(sections, rows, strict=True)
    ]
    with_depth, depth = sum(section.depth is not None for section in sections), "none"
    if with_depth:
        depth = "values" if total_counts == "auto" else f"obs[{total_counts!r}]"
        depth += "" if with_depth == len(sections) else f" in {with_depth} of {len(sections)} sections"
    return Inputs(sections, matrix, rows, measured, survey.counts, layer, depth)


def read_inputs_of_run(
    adata: AnnData, key: str, written: NDArray[np.bool_], *, covariates: bool
) -> tuple[Mapping[str, Any], Inputs]:
    """Return the entry of a run of `tl.impute` in uns, and its input, with or without covariates.

    Raises a KeyError if the entry has no fitted model, and a ValueError if the spots have changed since.
    """
    run = find_runs(adata).get(key, {})
    visible = read_visible(adata, key)
    if _keys.MODEL not in run or visible is None:
        msg = (
            f"run {key!r} has no fitted model (adata.uns[{_keys.UNS!r}][{key!r}][{_keys.MODEL!r}]); only tl.impute "
            "keeps one, and functions such as anndata.concat drop it: call s2s.tl.impute again"
        )
        raise KeyError(msg)
    params = run["params"]
    names = str(params["covariates"])
    inputs = read_inputs(
        adata,
        written,
        layer=find_source(adata, [key], None, argument="layer"),
        max_distance=float(params["max_distance"]) if np.isfinite(params["max_distance"]) else None,
        total_counts=None if params["total_counts"] == "None" else str(params["total_counts"]),
        covariates=names.split(", ") if covariates and names != "none" else None,
        denoise=bool(params["denoise"]),
        n_informative=int(params["training"]["max_genes"]),
        visible=visible,
    )
    fitted = {str(entry["name"]): str(entry["spots"]) for entry in run[_keys.MODEL]["sections"].values()}
    for section in inputs.sections:
        if fitted.get(str(section.name)) != section.digest():
            of = "" if section.name is None else f" of section {section.name!r}"
            msg = (
                f"the spots{of} are not those that run {key!r} was fitted to: values, genes or positions changed; "
                "go back to the AnnData that tl.impute returned (genes= selects genes), or call s2s.tl.impute again"
            )
            raise ValueError(msg)
    return run, inputs


def covariate_names(keys: Any) -> list[str]:
    """Return the keys of covariates as a list."""
    return [keys] if isinstance(keys, str) else list(keys) if isinstance(keys, Sequence) else []


def read_covariates(adata: AnnData, keys: object) -> NDArray[np.float64] | None:
    """Return covariates (n_obs, n_covariates) from obsm and obs, which must be known at all sites; None without."""
    if keys is None:
        return None
    names = covariate_names(keys)
    if not names or not all(isinstance(name, str) for name in names):
        msg = f"covariates must be keys of adata.obsm or numeric columns of adata.obs, found {keys!r}"
        raise TypeError(msg)
    found = []
    for name in names:
        if name not in adata.obsm and name not in adata.obs:
            msg = f"covariate {name!r} not found in adata.obsm ({few(adata.obsm) or 'empty'}) or adata.obs"
            advice = "; call s2s.pp.image_features first" if name == _keys.IMAGE_FEATURES else ""
            raise KeyError(msg + advice)
        values = np.asarray(adata.obsm[name] if name in adata.obsm else adata.obs[name])
        if values.dtype.kind not in "fiub":
            msg = f"covariate {name!r} must be numeric, found dtype {values.dtype}"
            raise TypeError(msg)
        values = values.reshape(adata.n_obs, -1).astype(np.float64)
        unknown = int((~np.isfinite(values)).any(axis=1).sum())
        if unknown:
            msg = f"covariate {name!r} is NaN or infinite at {unknown} of {adata.n_obs} sites; expected values at all"
            raise ValueError(msg)
        found.append(values)
    return np.hstack(found)


def _standardised(covariates: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Scale covariates (n_sites, n) to mean 0 and variance 1, and drop constant ones; None if none is left."""
    spread = covariates.std(axis=0)
    varies = spread > 1e-9 * np.abs(covariates).max(axis=0)
    found = (covariates - covariates.mean(axis=0))[:, varies] / spread[varies]
    return np.asarray(found) if varies.any() else None


def check_apart(measured: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> None:
    """Refuse spots that are both measured and held out."""
    both = int((measured & held_out).sum())
    if both:
        msg = f"{both} spots are both measured and held out in adata.obs; s2s.pp.sparsify sets both columns"
        raise ValueError(msg)


def _read_sections(
    adata: AnnData, max_distance: object, visible: NDArray[np.bool_] | None
) -> tuple[list[SectionOnLattice], NDArray[np.bool_]]:
    """Return sections sorted by position, and all measured spots; warn if sites are too far from all spots."""
    reach = np.inf if max_distance is None else check_number("max_distance", max_distance, least=0)
    sections = read_sections(adata)
    if visible is None:
        measured = read_measured(adata)
        check_apart(measured, read_mask(adata, _keys.HELD_OUT))
    else:
        measured = visible
        sections = [replace(section, measured=visible[section.rows]) for section in sections]
    found = []
    for section in map(SectionOnLattice.by_position, sections):
        if not section.measured.any():
            msg = f"no site of section {section.name!r} is measured; leave that section out"
            raise ValueError(msg)
        near = section.lattice.distance_to(section.measured) <= reach
        found.append(replace(section, wanted=~section.measured & near))
    far = sum(int((~section.measured & ~section.wanted).sum()) for section in found)
    if far and visible is None:
        warnings.warn(
            f"{far} of {int((~measured).sum())} unmeasured sites are farther than {reach:g} spot spacings from every "
            "measured spot and stay NaN; drop them, or pass a larger max_distance (None: no limit)",
            UserWarning,
            stacklevel=4,
        )
    return found, measured


def _with_counts(
    adata: AnnData, section: SectionOnLattice, layer: str | None, total_counts: str | None, *, denoise: bool
) -> SectionOnLattice:
    """Add the depth of the spots and, if they are denoised, the value of one molecule."""
    spots = np.isin(np.arange(adata.n_obs), section.spots)
    molecules = read_molecules(adata, spots, layer=layer) if denoise or total_counts == "auto" else None
    if denoise and molecules is None:
        msg = (
            "denoise=True needs values that are counts, or counts scaled per spot (with or without log1p), and "
            "enough genes with low counts to identify the value of one molecule"
        )
        raise ValueError(msg)
    depth = find_depth(adata, spots, molecules, total_counts)
    order = np.searchsorted(np.flatnonzero(spots), section.spots)  # depth and molecules are in the order of obs
    section = replace(section, depth=None if depth is None else depth[order])
    if molecules is None or not denoise or too_few_spots(section.values):
        return section
    return replace(section, unit=molecules.unit[order], logged=molecules.logged)
