"""Sections on their lattices, read from an AnnData with the values that models are fitted to."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._calibration import FEWEST
from .._checks import check_adata, check_column, check_name, check_number, few
from .._lattice import Lattice, SectionOnLattice
from ._genes import GeneMatrix, find_depth, most_variable, read_molecules
from ._runs import find_runs, find_source, read_visible

__all__ = [
    "MAX_DISTANCE",
    "Inputs",
    "array_positions",
    "check_apart",
    "covariate_names",
    "grid_entry",
    "read_inputs",
    "read_inputs_of_run",
    "read_mask",
    "read_measured",
    "read_section",
    "read_sections",
]

MAX_DISTANCE = 5.0  # largest distance of a predicted site from the nearest spot, in units of the spot spacing
AGAIN = (
    f"call s2s.pp.grid again on the spots (adata[adata.obs[{_keys.MEASURED!r}]]), with library_key= if these are "
    "sections that were concatenated"
)
"""Advice if the lattice in uns is missing or invalid, as after :func:`anndata.concat`."""


def array_positions(adata: AnnData) -> NDArray[np.int64]:
    """Return array_row and array_col as integers, (n_obs, 2)."""
    columns = []
    for key in (_keys.ARRAY_ROW, _keys.ARRAY_COL):
        column = adata.obs[key]
        must = f"adata.obs[{key!r}] must hold whole numbers, found"
        advice = "or drop both array columns to have the lattice fitted from the coordinates"
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            msg = f"{must} dtype {column.dtype}; convert it (pandas.to_numeric), {advice}"
            raise TypeError(msg)
        values = column.to_numpy(dtype=float, na_value=np.nan)
        whole = np.isfinite(values) & (values == np.round(values))
        if not np.all(whole & (np.abs(values) < 2**53)):
            msg = f"{must} {few(values[~whole]) or 'values beyond 2^53'}; correct them, {advice}"
            raise ValueError(msg)
        columns.append(values.astype(np.int64))
    return np.stack(columns, axis=1)


def grid_entry(lattice: Lattice, *, stride: int) -> dict[str, Any]:
    """Return the entry of a lattice in uns."""
    rows, cols = lattice.array.max(axis=0) + 1
    return {
        "kind": lattice.kind.name,
        "shape": np.array([rows, cols]),
        "stride": stride,
        "pitch": lattice.pitch,
        "basis": lattice.basis,
        "origin": lattice.origin,
    }


def read_sections(adata: AnnData) -> list[SectionOnLattice]:
    """Return the sections that `pp.grid` laid out, without empty ones; all unmeasured sites are wanted."""
    grid = adata.uns.get(_keys.UNS, {}).get(_keys.GRID)
    missing = [key for key in (_keys.ARRAY_ROW, _keys.ARRAY_COL, _keys.MEASURED) if key not in adata.obs]
    if not grid or missing:
        found = f"adata.obs has no {few(missing)}" if missing else f"adata.uns[{_keys.UNS!r}] has no {_keys.GRID!r}"
        advice = "call dense = s2s.pp.grid(adata) first and use dense" if missing else AGAIN
        msg = f"no lattice found ({found}); {advice}"
        raise KeyError(msg)
    array, measured = array_positions(adata), read_mask(adata, _keys.MEASURED)
    if _keys.SECTIONS not in grid:
        return [SectionOnLattice(None, np.arange(adata.n_obs), _lattice(grid, array), measured, ~measured)]
    key = str(grid[_keys.LIBRARY_KEY])
    if key not in adata.obs:
        msg = f"adata.obs has no {key!r}, the column that names the section of a site; call s2s.pp.grid again"
        raise KeyError(msg)
    column = adata.obs[key].astype(str).to_numpy()
    if unknown := set(column) - set(grid[_keys.SECTIONS]):
        msg = f"adata.obs[{key!r}] names sections without a lattice ({few(sorted(unknown))}); {AGAIN}"
        raise ValueError(msg)
    sections = []
    # h5ad sorts them by name, and the order determines random numbers.
    for name, entry in sorted(grid[_keys.SECTIONS].items()):
        rows = np.flatnonzero(column == name)
        if len(rows):
            spots = measured[rows]
            sections.append(SectionOnLattice(name, rows, _lattice(entry, array[rows]), spots, ~spots))
    return sections


def read_section(adata: AnnData, library_id: str | None = None) -> tuple[AnnData, SectionOnLattice]:
    """Return a section as an AnnData and on its lattice; `library_id` selects one of several."""
    check_adata(adata)
    sections = read_sections(adata)
    if library_id is None:
        if len(sections) > 1:
            names = few(section.name for section in sections)
            msg = f"adata holds {len(sections)} sections ({names}), and this needs one; pass library_id="
            raise ValueError(msg)
        return adata, sections[0]
    check_name("library_id", library_id)
    for section in sections:
        if section.name == library_id:
            return adata[section.rows], replace(section, rows=np.arange(len(section.rows)))
    found = "one section without a name" if sections[0].name is None else few(section.name for section in sections)
    msg = f"section {library_id!r} not found; adata has: {found}"
    raise KeyError(msg)


def _lattice(grid: Mapping[str, Any], array: NDArray[np.int64]) -> Lattice:
    """Return the lattice of a section with array positions (n_sites, 2), from its entry in uns."""
    try:
        basis, origin = np.asarray(grid["basis"], np.float64), np.asarray(grid["origin"], np.float64)
        lattice = Lattice.from_array(grid["kind"], array, basis.reshape(2, 2), origin.reshape(2))
        stride = int(grid["stride"])
    except (KeyError, TypeError, ValueError) as error:
        msg = f"adata.uns[{_keys.UNS!r}][{_keys.GRID!r}] does not describe a lattice ({error!r}); {AGAIN}"
        raise ValueError(msg) from error
    lattice.check_extent(stride)
    if len(np.unique(lattice.position)) < len(lattice):
        msg = f"two sites share one lattice position, since adata was changed after s2s.pp.grid; {AGAIN}"
        raise ValueError(msg)
    return lattice


def read_mask(adata: AnnData, key: str) -> NDArray[np.bool_]:
    """Return `s2s_measured` or `s2s_held_out`; a missing one means nothing is held out."""
    return check_column(adata, key) if key in adata.obs else np.zeros(adata.n_obs, dtype=bool)


def read_measured(adata: AnnData) -> NDArray[np.bool_]:
    """Return which sites are measured, at least one."""
    measured = read_mask(adata, _keys.MEASURED)
    if not measured.any():
        msg = f"no site is measured: adata.obs[{_keys.MEASURED!r}] is False everywhere; call s2s.pp.grid on the spots"
        raise ValueError(msg)
    return measured


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
    """Read the rows that are measured; `written` (n_vars,) are the genes to predict.

    To repeat an earlier run, `visible` (n_obs,) holds the sites that were measured then.
    """
    if total_counts is not None and not isinstance(total_counts, str):
        msg = f"total_counts must be 'auto', the name of a column of adata.obs or None, found {total_counts!r}"
        raise TypeError(msg)
    at_sites = read_covariates(adata, covariates)
    sections, measured = _read_sections(adata, max_distance, visible)
    find_depth(adata, measured, None, total_counts)  # an unsuitable column is refused before the matrix is read
    if at_sites is not None:
        sections = [replace(each, covariates=_standardised(at_sites[each.rows])) for each in sections]
    matrix = GeneMatrix(adata, measured, np.arange(adata.n_vars), layer=layer).by_gene()
    rows = [np.searchsorted(np.flatnonzero(measured), section.spots) for section in sections]
    columns, counts = most_variable(matrix, rows, written, n_informative)
    informative = matrix.read(columns, finite=False)
    sections = [
        _with_counts(adata, replace(section, values=informative[spots]), layer, total_counts, denoise=denoise)
        for section, spots in zip(sections, rows, strict=True)
    ]
    if visible is None:
        _warn_of_misfit(adata, covariates, sections)
    with_depth, depth = sum(section.depth is not None for section in sections), "none"
    if with_depth:
        depth = "values" if total_counts == "auto" else f"obs[{total_counts!r}]"
        depth += "" if with_depth == len(sections) else f" in {with_depth} of {len(sections)} sections"
    return Inputs(sections, matrix, rows, measured, counts, layer, depth)


def read_inputs_of_run(adata: AnnData, key: str) -> Inputs:
    """Return the input of a run of `tl.impute`, without covariates."""
    run = find_runs(adata).get(key, {})
    visible = read_visible(adata, key)
    if _keys.MODEL not in run or visible is None:
        msg = f"run {key!r} has no fitted model, which only tl.impute keeps; call s2s.tl.impute again"
        raise KeyError(msg)
    params = run["params"]
    inputs = read_inputs(
        adata,
        np.zeros(adata.n_vars, bool),
        layer=find_source(adata, [key], None),
        max_distance=float(params["max_distance"]) if np.isfinite(params["max_distance"]) else None,
        total_counts=None if params["total_counts"] == "None" else str(params["total_counts"]),
        denoise=bool(params["denoise"]),
        n_informative=int(params["training"]["max_genes"]),
        visible=visible,
    )
    fitted = {str(entry["name"]): str(entry["spots"]) for entry in run[_keys.MODEL]["sections"].values()}
    for section in inputs.sections:
        if fitted.get(str(section.name)) != section.digest():
            of = "" if section.name is None else f" of section {section.name!r}"
            what = f"the spots{of} are not those that run {key!r} was fitted to"
            msg = f"{what}: values, genes or positions changed; call s2s.tl.impute again"
            raise ValueError(msg)
    return inputs


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
        if unknown := int((~np.isfinite(values)).any(axis=1).sum()):
            msg = f"covariate {name!r} is NaN or infinite at {unknown} of {adata.n_obs} sites; expected values at all"
            raise ValueError(msg)
        found.append(values)
    return np.hstack(found)


def _warn_of_misfit(adata: AnnData, keys: object, sections: list[SectionOnLattice]) -> None:
    """Warn if covariates in obsm fit the expression better at other sites; `pp.image_features` checks its own."""
    own = adata.uns[_keys.UNS].get(_keys.IMAGE, {})
    for name in covariate_names(keys):
        if name in own or name not in adata.obsm:
            continue
        from .._image import check_covariates  # needs a second to import

        covariates = np.asarray(read_covariates(adata, name))
        for section in sections:
            if (misfit := check_covariates(section, covariates[section.rows])) is not None:
                where = "" if section.name is None else f" of section {section.name!r}"
                better = f"explained variance {misfit.explained_there:.3f} instead of {misfit.explained_here:.3f}"
                msg = f"covariates {name!r}{where} fit better if {misfit.place} ({better}); check their positions"
                warnings.warn(msg, UserWarning, stacklevel=4)


def _standardised(covariates: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Scale covariates (n_sites, n) to mean 0 and variance 1, and drop constant ones; None if none is left."""
    spread = covariates.std(axis=0)
    varies = spread > 1e-9 * np.abs(covariates).max(axis=0)
    found = (covariates - covariates.mean(axis=0))[:, varies] / spread[varies]
    return np.asarray(found) if varies.any() else None


def check_apart(measured: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> None:
    """Refuse spots that are both measured and held out."""
    if both := int((measured & held_out).sum()):
        columns = f"adata.obs[{_keys.MEASURED!r}] and [{_keys.HELD_OUT!r}]"
        msg = f"{both} spots are both measured and held out ({columns}); s2s.pp.sparsify sets both columns"
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
        apart = f"farther than {reach:g} spot spacings from every measured spot"
        msg = f"{far} of {int((~measured).sum())} unmeasured sites are {apart} and stay NaN; pass a larger max_distance"
        warnings.warn(msg, UserWarning, stacklevel=4)
    return found, measured


def _with_counts(
    adata: AnnData, section: SectionOnLattice, layer: str | None, total_counts: str | None, *, denoise: bool
) -> SectionOnLattice:
    """Add the depth of the spots and, if they are denoised, the value of one molecule."""
    spots = np.isin(np.arange(adata.n_obs), section.spots)
    molecules = read_molecules(adata, spots, layer=layer) if denoise or total_counts == "auto" else None
    if denoise and molecules is None:
        msg = (
            "denoise=True needs values that are counts, or counts scaled per spot (with or without log1p), of enough "
            "spots and genes to identify the value of one molecule"
        )
        raise ValueError(msg)
    depth = find_depth(adata, spots, molecules, total_counts)
    order = np.searchsorted(np.flatnonzero(spots), section.spots)  # depth and molecules are in the order of obs
    section = replace(section, depth=None if depth is None else depth[order])
    if molecules is None or not denoise or len(section.values) < FEWEST:
        return section
    return replace(section, unit=molecules.unit[order], logged=molecules.logged)
