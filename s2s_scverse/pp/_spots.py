"""Input of `pp.grid`: spots on tissue, their sections, coordinates and lattices, and which are measured."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import array_positions, find_runs, read_mask
from .._checks import check_column, check_coordinates, check_name, few, named_layers
from .._lattice import Lattice, lattice_from_array, lattice_from_coordinates, unit_coordinates
from ._artifacts import LINE_FRACTION, dead_lines
from ._check_sections import check_lattice, hint
from ._sites import Laid
from ._tissue import find_empty, in_tissue, read_depth, zeros_tell

__all__ = [
    "find_lattice",
    "find_measured",
    "in_memory",
    "naming",
    "read_coordinates",
    "read_spots",
    "split",
    "warn_of_dead_lines",
]

log = logging.getLogger(__name__)
ARRAY = [_keys.ARRAY_ROW, _keys.ARRAY_COL]


def read_spots(adata: AnnData) -> AnnData:
    """Return the spots on tissue; refuse unmeasured sites, whose zeros are not measurements."""
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()].unique()
        msg = (
            f"spot names are not unique ({few(repeated)}); call adata.obs_names_make_unique() first, "
            "and pass library_key= if these are several sections"
        )
        raise ValueError(msg)
    if _keys.MEASURED in adata.obs:
        empty = ~(check_column(adata, _keys.MEASURED) | read_mask(adata, _keys.HELD_OUT))
        if empty.any():
            msg = (
                f"{int(empty.sum())} of {adata.n_obs} sites are unmeasured already; call s2s.pp.grid on the spots, "
                f"for example on adata[adata.obs[{_keys.MEASURED!r}]]"
            )
            raise ValueError(msg)
    inside = in_tissue(adata)
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
    msg = (
        f"adata.obsm has no {spatial_key!r}: coordinates are made from array_row/array_col, those of a {kind} lattice "
        "with a distance of 1 between spots"
    )
    warnings.warn(msg, UserWarning, stacklevel=3)
    return coordinates


def find_measured(spots: AnnData, sections: Sequence[Laid], *, what: str) -> NDArray[np.bool_]:
    """Return which spots have counts and are not held out, (n_obs,); refuse a section without counts."""
    seen = ~read_mask(spots, _keys.HELD_OUT)
    empty = find_empty(spots, seen)
    for section in sections:
        rows = section.rows[seen[section.rows]]
        if len(rows) and empty[rows].all():
            n = len(section.rows)
            msg = f"{section.prefix}all {n} {what} are without counts (every value is 0); pass counts in X"
            raise ValueError(msg)
    if empty.any():
        log.info("%d of %d %s hold no counts and are unmeasured sites", empty.sum(), len(empty), what)
    return seen & ~empty


def warn_of_dead_lines(spots: AnnData, sections: Sequence[Laid], measured: NDArray[np.bool_]) -> None:
    """Warn of rows and columns with hardly any counts."""
    seen = read_depth(spots, measured) if measured.any() and not zeros_tell(spots, measured) else None
    if seen is None:
        return
    depth = np.zeros(spots.n_obs)
    depth[measured] = seen
    visible = ~read_mask(spots, _keys.HELD_OUT)
    for section in sections:
        rows = section.rows
        obs, known = spots.obs.iloc[rows], visible[rows]
        array = obs[ARRAY].to_numpy(np.int64) if _has_array(obs) else section.lattice.array
        dead = {key: dead_lines(array[known, axis], depth[rows][known]) for axis, key in enumerate(ARRAY)}
        texts = [f"{key} {few(lines.tolist())}" for key, lines in dead.items() if len(lines)]
        if texts:
            msg = (
                f"{section.prefix}the median depth of {' and '.join(texts)} is below {LINE_FRACTION:.0%} of that of "
                "neighbouring ones, as in clogged channels; s2s.pp.mask_artifacts marks their spots as unmeasured"
            )
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
    if column.isna().any():
        msg = (
            f"adata.obs[{library_key!r}] is missing for {int(column.isna().sum())} of {adata.n_obs} spots; name the "
            "section of each, or drop them"
        )
        raise ValueError(msg)
    names = column.astype(str).to_numpy()
    slashed = sorted({name for name in names if "/" in name})
    if slashed:
        msg = f"names of sections must not hold '/', for h5ad files, found {few(slashed)}; rename them"
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
    """Whether a section has array positions."""
    return all(key in obs and obs[key].notna().any() for key in ARRAY)


def find_lattice(adata: AnnData, coordinates: NDArray[np.float64], *, alone: bool) -> Lattice:
    """Return the lattice of a section, from array positions or coordinates.

    If the section is not one of several (`alone`), signs of several sections are reported.
    """
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


def in_memory(adata: AnnData) -> AnnData:
    """Return the section in memory, without runs, which belong to another lattice."""
    lazy = any(hasattr(matrix, "compute") for matrix in (adata.X, *named_layers(adata).values()))
    adata = adata.to_memory() if adata.isbacked or lazy else adata
    stale = [key for key in find_runs(adata) if key in adata.layers]
    if not stale:
        return adata
    adata = adata.copy()
    for key in stale:
        del adata.layers[key]
        adata.layers.pop(_keys.STD.format(key), None)
        adata.obs = adata.obs.drop(columns=_keys.VISIBLE.format(key), errors="ignore")
        adata.var = adata.var.drop(columns=_keys.RELIABILITY.format(key), errors="ignore")
    return adata
