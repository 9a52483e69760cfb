"""What `pp.grid` reads: which observations are spots, of which section, where they lie, which are measured."""

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._adata import array_positions, find_runs, read_mask
from .._checks import check_column, check_coordinates, check_name, few, named_layers
from .._lattice import Lattice, lattice_from_array, lattice_from_coordinates, unit_coordinates
from ._artifacts import LINE_FRACTION, dead_lines
from ._check_sections import check_lattice, hint
from ._tissue import find_empty, in_tissue, read_depth, zeros_tell

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "find_lattice",
    "find_measured",
    "in_memory",
    "named",
    "read_coordinates",
    "read_spots",
    "split",
    "warn_of_dead_lines",
    "without_runs",
]

log = logging.getLogger(__name__)
T = TypeVar("T")
ARRAY = (_keys.ARRAY_ROW, _keys.ARRAY_COL)


def read_spots(adata: "AnnData") -> "AnnData":
    """Return the spots on tissue."""
    _check_spots(adata)
    inside = in_tissue(adata)
    if inside.all():
        return adata
    log.info("%d of %d spots lie outside the tissue (in_tissue 0) and are left out", (~inside).sum(), len(inside))
    return adata[inside]


def read_coordinates(adata: "AnnData", spatial_key: str) -> NDArray[np.float64]:
    """Return x and y of every spot, (n_obs, 2); without any in obsm, those of the array positions at pitch 1."""
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


def find_measured(spots: "AnnData", sections: "dict[str | None, NDArray[np.int64]]", *, what: str) -> NDArray[np.bool_]:
    """Return which spots are measured, (n_obs,): neither held out nor without counts.

    Raises
    ------
    ValueError
        If no spot of a section holds counts.
    """
    seen = ~read_mask(spots, _keys.HELD_OUT)
    empty = find_empty(spots, seen)
    for name, rows in sections.items():
        if seen[rows].any() and empty[rows[seen[rows]]].all():
            where = "" if name is None else f"section {name!r}: "
            msg = f"{where}all {len(rows)} {what} are without counts (every value is 0); pass counts in X"
            raise ValueError(msg)
    if empty.any():
        log.info("%d of %d %s hold no counts and are unmeasured sites", empty.sum(), len(empty), what)
    return seen & ~empty


def warn_of_dead_lines(
    spots: "AnnData",
    sections: "dict[str | None, NDArray[np.int64]]",
    lattices: list[Lattice],
    measured: NDArray[np.bool_],
) -> None:
    """Warn of rows and columns with hardly any counts."""
    seen = read_depth(spots, measured) if measured.any() and not zeros_tell(spots, measured) else None
    if seen is None:
        return
    depth = np.zeros(spots.n_obs)
    depth[measured] = seen
    for (name, rows), lattice in zip(sections.items(), lattices, strict=True):
        known = ~read_mask(spots, _keys.HELD_OUT)[rows]
        own = _has_array(spots, rows)
        found = []
        for axis, key in enumerate(ARRAY):
            lines = spots.obs[key].iloc[rows].to_numpy(np.int64) if own else lattice.array[:, axis]
            dead = dead_lines(lines[known], depth[rows][known])
            found += [f"{key} {few(int(line) for line in dead)}"] if len(dead) else []
        if found:
            where = "" if name is None else f"section {name!r}: "
            msg = (
                f"{where}the median depth of {' and '.join(found)} is below {LINE_FRACTION:.0%} of that of the rows or "
                "columns around, as in clogged channels; s2s.pp.mask_artifacts marks their spots as unmeasured"
            )
            warnings.warn(msg, UserWarning, stacklevel=3)


def split(adata: "AnnData", library_key: str | None) -> dict[str | None, NDArray[np.int64]]:
    """Return the rows of every section, in the order in which they come first."""
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
        msg = f"names of sections must not hold '/', which h5ad files cannot store, found {few(slashed)}; rename them"
        raise ValueError(msg)
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names)}


def named(name: str | None, call: Callable[..., T], *arguments: object, **more: object) -> T:
    """Call a function on one section, whose name its errors then tell."""
    try:
        return call(*arguments, **more)
    except ValueError as error:
        if name is None:
            raise
        msg = f"section {name!r}: {error}"
        raise ValueError(msg) from error


def _has_array(adata: "AnnData", rows: NDArray[np.int64]) -> bool:
    """Whether a section has array positions; of several only some may."""
    return all(key in adata.obs and adata.obs[key].iloc[rows].notna().any() for key in ARRAY)


def find_lattice(
    adata: "AnnData", coordinates: NDArray[np.float64], name: str | None, rows: NDArray[np.int64]
) -> Lattice:
    """Find the lattice of a section from array positions, else from coordinates."""
    array = named(name, array_positions, adata[rows]) if _has_array(adata, rows) else None
    if name is not None:
        if array is not None:
            return named(name, lattice_from_array, array, coordinates[rows])
        return named(name, lattice_from_coordinates, coordinates[rows])
    try:
        lattice = lattice_from_coordinates(coordinates) if array is None else lattice_from_array(array, coordinates)
    except ValueError as error:
        msg = f"{error}. {hint(adata, coordinates if array is None else array)}"
        raise ValueError(msg) from error
    check_lattice(adata, lattice, coordinates)
    return lattice


def _check_spots(adata: "AnnData") -> None:
    """Refuse sites that hold no measurement: their zeros would become measured values."""
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()].unique()
        msg = (
            f"spot names are not unique ({few(repeated)}); call adata.obs_names_make_unique() first, "
            "and pass library_key= if these are several sections"
        )
        raise ValueError(msg)
    if _keys.MEASURED not in adata.obs:
        return
    empty = ~check_column(adata, _keys.MEASURED)
    if _keys.HELD_OUT in adata.obs:
        empty &= ~check_column(adata, _keys.HELD_OUT)
    if empty.any():
        msg = (
            f"{int(empty.sum())} of {adata.n_obs} sites are unmeasured already; call s2s.pp.grid on the spots, "
            f"for example on adata[adata.obs[{_keys.MEASURED!r}]]"
        )
        raise ValueError(msg)


def in_memory(adata: "AnnData") -> "AnnData":
    """Read what is backed by a file or lazy."""
    lazy = any(hasattr(matrix, "compute") for matrix in (adata.X, *named_layers(adata).values()))
    return adata.to_memory() if adata.isbacked or lazy else adata


def without_runs(adata: "AnnData") -> "AnnData":
    """Leave out what belongs to another lattice."""
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
