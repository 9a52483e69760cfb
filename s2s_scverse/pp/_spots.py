"""Input of `pp.grid`: spots on tissue, their sections, coordinates, lattices and depth, and which are measured."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import _keys
from .._adata import array_positions, find_runs, read_mask, read_molecules, row_blocks
from .._checks import (
    are_counts,
    check_column,
    check_coordinates,
    check_name,
    check_numeric,
    few,
    named_layers,
    stored_values,
)
from .._lattice import Lattice, lattice_from_array, lattice_from_coordinates, unit_coordinates
from ._check_sections import check_lattice, hint
from ._sites import Laid

log = logging.getLogger(__name__)
ARRAY = [_keys.ARRAY_ROW, _keys.ARRAY_COL]
TRUTH = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
COUNTS = "counts"
FEWEST_GENES = 3  # median number of detected genes below which a spot without counts may be a measurement
LINE_FRACTION = 0.1  # default of `line_fraction`; intact rows and columns of real sections are above 0.16
LINE_SPREAD = 5  # highest 90 % quantile of depth in a failed row, relative to the largest median
WINDOW = 5  # number of rows on either side that a row is compared with
FEWEST_SPOTS = 5  # number of spots below which a row is not tested
BACKGROUND = 0.03  # fraction of the 90 % quantile of depth below which spots may lie outside the tissue
BACKGROUND_SHARE = 0.05  # fraction of such spots, surrounded by such spots, that is reported; real sections: up to 0.02
N_AROUND = 6  # number of neighbours for this


def read_spots(adata: AnnData) -> AnnData:
    """Return the spots on tissue; refuse unmeasured sites, whose zeros are not measurements."""
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()].unique()
        msg = f"spot names are not unique ({few(repeated)}); call adata.obs_names_make_unique() first"
        raise ValueError(msg)
    if _keys.MEASURED in adata.obs:
        empty = ~(check_column(adata, _keys.MEASURED) | read_mask(adata, _keys.HELD_OUT))
        if empty.any():
            msg = f"{empty.sum()} of {len(empty)} sites are unmeasured; pass adata[adata.obs[{_keys.MEASURED!r}]]"
            raise ValueError(msg)
    inside = _in_tissue(adata)
    if inside.all():
        return adata
    log.info("%d of %d spots lie outside the tissue (in_tissue 0) and are dropped", (~inside).sum(), len(inside))
    return adata[inside]


def read_coordinates(adata: AnnData, spatial_key: str) -> NDArray[np.float64]:
    """Return x and y of every spot, (n_obs, 2), or those of array positions at a pitch of 1 if obsm has none."""
    made = spatial_key == _keys.SPATIAL and not any("spatial" in key.lower() for key in adata.obsm)
    if not made or any(key not in adata.obs for key in ARRAY):
        return check_coordinates(adata, spatial_key)
    coordinates, kind = unit_coordinates(array_positions(adata))
    how = f"made from array_row/array_col, those of a {kind} lattice with a distance of 1 between spots"
    msg = f"adata.obsm has no {spatial_key!r}: coordinates are {how}"
    warnings.warn(msg, UserWarning, stacklevel=3)
    return coordinates


def find_measured(spots: AnnData, sections: Sequence[Laid], *, what: str) -> NDArray[np.bool_]:
    """Return which spots have counts and are not held out, (n_obs,); refuse a section without counts."""
    seen = ~read_mask(spots, _keys.HELD_OUT)
    empty = _find_empty(spots, seen)
    for section in sections:
        rows = section.rows[seen[section.rows]]
        if len(rows) and empty[rows].all():
            n = len(section.rows)
            msg = f"{section.prefix}all {n} {what} are without counts (every value is 0); pass counts in X"
            raise ValueError(msg)
    if empty.any():
        log.info("%d of %d %s hold no counts and are unmeasured sites", empty.sum(), len(empty), what)
    return seen & ~empty


def warn_of_depth(spots: AnnData, sections: Sequence[Laid], measured: NDArray[np.bool_], *, bins: bool) -> None:
    """Warn of rows and columns (unless of `bins`) and of regions with hardly any counts."""
    seen = read_depth(spots, measured) if measured.any() and not _zeros_tell(spots, measured) else None
    if seen is None:
        return
    depth = np.zeros(spots.n_obs)
    depth[measured] = seen
    visible = ~read_mask(spots, _keys.HELD_OUT)
    for section in sections:
        obs, known = spots.obs.iloc[section.rows], visible[section.rows]
        array = obs[ARRAY].to_numpy(np.int64) if _has_array(obs) else section.lattice.array
        own, alive = depth[section.rows], measured[section.rows]
        dead = {key: dead_lines(array[known, axis], own[known]) for axis, key in enumerate(ARRAY) if not bins}
        if texts := [f"{key} {few(lines.tolist())}" for key, lines in dead.items() if len(lines)]:
            what = f"the median depth of {' and '.join(texts)} is below {LINE_FRACTION:.0%} of that of their neighbours"
            msg = f"{section.prefix}{what}; s2s.pp.mask_artifacts marks their spots as unmeasured"
            warnings.warn(msg, UserWarning, stacklevel=3)
        for axis, lines in enumerate(dead.values()):
            alive = alive & ~np.isin(array[:, axis], lines)
        if n := _count_background(section.lattice.unit_coordinates[alive], own[alive]):
            what = f"{n} of {alive.sum()} {'bins' if bins else 'spots'} lie together and have hardly any counts"
            msg = f"{section.prefix}{what}, as outside the tissue; set obs['in_tissue'] to 0 there"
            warnings.warn(msg, UserWarning, stacklevel=3)


def split(adata: AnnData, library_key: str | None) -> dict[str | None, NDArray[np.int64]]:
    """Return the rows of every section, in order of appearance."""
    if library_key is None:
        return {None: np.arange(adata.n_obs)}
    check_name("library_key", library_key)
    if library_key not in adata.obs:
        msg = f"library_key={library_key!r} not found in adata.obs, which has: {few(adata.obs.columns) or 'no column'}"
        raise KeyError(msg)
    column = adata.obs[library_key]
    if unknown := int(column.isna().sum()):
        what = f"adata.obs[{library_key!r}] is missing for {unknown} of {adata.n_obs} spots"
        msg = f"{what}; name the section of each, or drop them"
        raise ValueError(msg)
    names = column.astype(str).to_numpy()
    if slashed := sorted({name for name in names if "/" in name}):
        msg = f"names of sections must not contain '/' (not allowed in h5ad files), found {few(slashed)}; rename them"
        raise ValueError(msg)
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names)}


@contextmanager
def naming(name: str | None) -> Iterator[None]:
    """Prefix error texts with the name of the section."""
    try:
        yield
    except ValueError as error:
        if name is None:
            raise
        msg = f"section {name!r}: {error}"
        raise ValueError(msg) from error


def _has_array(obs: pd.DataFrame) -> bool:
    return all(key in obs and obs[key].notna().any() for key in ARRAY)


def find_lattice(adata: AnnData, coordinates: NDArray[np.float64], *, alone: bool) -> Lattice:
    """Return the lattice of a section; signs of several sections are reported if it is `alone`."""
    array = array_positions(adata) if _has_array(adata.obs) else None
    try:
        lattice = lattice_from_coordinates(coordinates) if array is None else lattice_from_array(array, coordinates)
    except ValueError as error:
        if not alone:
            raise
        msg = f"{error}. {hint(adata, coordinates if array is None else array)}"
        raise ValueError(msg) from error
    if alone:
        check_lattice(adata, lattice, coordinates)
    return lattice


def spots_in_memory(adata: AnnData) -> AnnData:
    """Return the section in memory, without runs, which belong to another lattice."""
    lazy = any(hasattr(matrix, "compute") for matrix in (adata.X, *named_layers(adata).values()))
    adata = adata.to_memory() if adata.isbacked or lazy else adata
    if not (stale := [key for key in find_runs(adata) if key in adata.layers]):
        return adata
    adata = adata.copy()
    for key in stale:
        del adata.layers[key]
        adata.layers.pop(_keys.STD.format(key), None)
        adata.obs = adata.obs.drop(columns=_keys.VISIBLE.format(key), errors="ignore")
        by_gene = [column.format(key) for column in (_keys.RELIABILITY, _keys.COVARIATE_GAIN)]
        adata.var = adata.var.drop(columns=by_gene, errors="ignore")
    return adata


def dead_lines(
    lines: NDArray[np.int64], depth: NDArray[np.float64], fraction: float = LINE_FRACTION
) -> NDArray[np.int64]:
    """Return the rows (or columns) whose median depth is below a fraction of that of their neighbours.

    Rows with some deep spots lie at the rim of the tissue.
    """
    by_line = pd.Series(depth).groupby(lines)
    median = by_line.median()[by_line.size() >= FEWEST_SPOTS]
    values, high, dead = median.to_numpy(), by_line.quantile(0.9)[median.index].to_numpy(), np.zeros(len(median), bool)
    for at in range(len(values)):
        around = np.r_[values[max(at - WINDOW, 0) : at], values[at + 1 : at + 1 + WINDOW]]
        limit = fraction * np.median(around) if len(around) > 1 else 0
        dead[at] = values[at] < limit and high[at] < LINE_SPREAD * limit
    return median.index.to_numpy()[dead]


def _count_background(at: NDArray[np.float64], depth: NDArray[np.float64]) -> int:
    """Return how many spots have hardly any depth, like most of their neighbours; 0 if they are few."""
    if len(at) <= N_AROUND:
        return 0
    low = depth < BACKGROUND * np.quantile(depth, 0.9)
    near = np.asarray(cKDTree(at).query(at, k=N_AROUND + 1)[1])[:, 1:]
    n = int((low & (low[near].mean(axis=1) > 0.5)).sum())
    return n if n >= BACKGROUND_SHARE * len(at) else 0


def _in_tissue(adata: AnnData) -> NDArray[np.bool_]:
    """Return which spots lie on tissue, (n_obs,): those whose `in_tissue` is not 0 (number, boolean or text)."""
    if _keys.IN_TISSUE not in adata.obs:
        return np.ones(adata.n_obs, dtype=bool)
    column = adata.obs[_keys.IN_TISSUE]
    values = column.astype(str).str.strip().str.lower().map(TRUTH)
    unknown = values.isna() & column.notna()
    if unknown.any():
        found = few(column[unknown].unique())
        msg = f"adata.obs[{_keys.IN_TISSUE!r}] must hold 1 (tissue) or 0 (background), found {found}; correct it"
        raise ValueError(msg)
    inside: NDArray[np.bool_] = ~values.isin([False]).to_numpy(dtype=bool)
    if not inside.any():
        msg = f"no spot lies on tissue: adata.obs[{_keys.IN_TISSUE!r}] is 0 for all {adata.n_obs}; correct or drop it"
        raise ValueError(msg)
    return inside


def _find_empty(adata: AnnData, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the spots `rows` (n_obs,), in memory, have no counts, (n_obs,).

    They are 0 throughout in X or ``layers["counts"]`` (if both are absent or 0 everywhere: in the first other layer).
    No spot is empty if ``obs["total_counts"]`` is positive, or if zeros are likely since few genes are detected.
    """
    if adata.X is not None:
        check_numeric(adata.X, "adata.X")
    raw = list(_matrices(adata, None).values())
    others = [layer for key, layer in named_layers(adata).items() if key != COUNTS]
    masks = [mask for mask in (_zero_rows(matrix) & rows for matrix in raw) if not np.array_equal(mask, rows)]
    masks = masks or [_zero_rows(layer) & rows for layer in others[:1]]
    empty = np.logical_or.reduce(masks) if masks else rows & bool(raw)
    total = _total_counts(adata)
    empty = empty if total is None else empty & ~(total > 0)
    shallow = (rows & ~empty).any() and empty.any() and _zeros_tell(adata, rows & ~empty)
    return np.zeros_like(empty) if shallow else empty


def _zeros_tell(adata: AnnData, rows: NDArray[np.bool_]) -> bool:
    """Whether so few genes are detected in the spots `rows` that a spot may have none by chance."""
    detected = read_detected(adata, rows)
    return detected is not None and bool(np.median(detected) < FEWEST_GENES)


def read_depth(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return the depth of the spots `rows` in any unit, (n_rows,); None if it is unknown.

    It is read from counts in the layer, X or ``layers["counts"]``, else from ``obs["total_counts"]``, else recovered
    from normalised values.
    """
    matrices = _matrices(adata, layer)
    numbers = np.flatnonzero(rows)
    for matrix in matrices.values():
        sample = next(row_blocks(matrix, numbers[:: len(numbers) // 200 + 1]))
        if are_counts(sample) and (stored_values(sample) > 0).any():
            return np.concatenate([np.asarray(block.sum(axis=1)).ravel() for block in row_blocks(matrix, numbers)])
    total = _total_counts(adata) if layer is None else None
    if total is not None and (total[rows] >= 0).all() and np.ptp(total[rows]) > 0.01 * total[rows].max():
        return total[rows]
    for key in matrices:
        if (molecules := read_molecules(adata, rows, layer=key)) is not None:
            return molecules.depth
    return None


def read_detected(adata: AnnData, rows: NDArray[np.bool_], *, layer: str | None = None) -> NDArray[np.float64] | None:
    """Return the number of genes detected in the spots `rows`, (n_rows,); None if values are negative."""
    matrix = next(iter(_matrices(adata, layer).values()), None)
    if matrix is None:
        return None
    detected = []
    for block in row_blocks(matrix, np.flatnonzero(rows)):
        if (stored_values(block) < 0).any():
            return None
        detected.append(np.asarray((block > 0).sum(axis=1)).ravel())
    return np.concatenate(detected).astype(np.float64)


def _matrices(adata: AnnData, layer: str | None) -> dict[str | None, Any]:
    """Return by name what may hold counts: the layer or, without one, ``layers["counts"]`` and X."""
    names = [COUNTS, None] if layer is None else [layer]
    found = {name: adata.X if name is None else adata.layers.get(name) for name in names}
    return {name: matrix for name, matrix in found.items() if matrix is not None}


def _total_counts(adata: AnnData) -> NDArray[np.float64] | None:
    column = adata.obs.get("total_counts")
    return column.to_numpy(np.float64, na_value=np.nan) if column is not None and column.dtype.kind in "fiu" else None


def _zero_rows(matrix: Any) -> NDArray[np.bool_]:
    """Return which rows of a matrix in memory are 0 throughout, (n_rows,)."""
    return np.asarray(matrix.astype(bool).sum(axis=1) == 0).ravel()
