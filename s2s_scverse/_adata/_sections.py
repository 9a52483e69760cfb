"""Sections on their lattices, read from an AnnData."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_adata, check_column, check_name, few
from .._lattice import Lattice, SectionOnLattice

__all__ = ["array_positions", "grid_entry", "read_mask", "read_measured", "read_section", "read_sections"]

AGAIN = (
    f"call s2s.pp.grid again on the spots (adata[adata.obs[{_keys.MEASURED!r}]]), with library_key= if these are "
    "sections that were concatenated"
)
"""Advice if the lattice in uns is missing or invalid, as after :func:`anndata.concat`."""
GEOMETRY = {"basis": (2, 2), "origin": (2,)}  # shapes of arrays in uns


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
    """Return the sections that :func:`s2s_scverse.pp.grid` laid out, without empty ones; all unmeasured sites wanted.

    Raises a KeyError if there is no lattice, and a ValueError if its fields are not as `pp.grid` writes them.
    """
    entry = adata.uns.get(_keys.UNS, {})
    grid = entry.get(_keys.GRID) if isinstance(entry, Mapping) else None
    missing = [key for key in (_keys.ARRAY_ROW, _keys.ARRAY_COL, _keys.MEASURED) if key not in adata.obs]
    if not isinstance(grid, Mapping) or missing:
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
    unknown = set(column) - set(grid[_keys.SECTIONS])
    if unknown:
        msg = f"adata.obs[{key!r}] names sections without a lattice ({few(sorted(unknown))}); {AGAIN}"
        raise ValueError(msg)
    sections = []
    # h5ad sorts them by name, and the order determines random numbers.
    for name, entry in sorted(grid[_keys.SECTIONS].items()):
        rows = np.flatnonzero(column == name)
        if len(rows):
            seen = measured[rows]
            sections.append(SectionOnLattice(name, rows, _lattice(entry, array[rows]), seen, ~seen))
    return sections


def read_section(adata: AnnData, library_id: str | None = None) -> tuple[AnnData, SectionOnLattice]:
    """Return a section as an AnnData and on its lattice; `library_id` selects one of several.

    Raises a KeyError if there is no such section, and a ValueError if one of several must be selected.
    """
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
        basis, origin = (np.asarray(grid[key], np.float64).reshape(shape) for key, shape in GEOMETRY.items())
        lattice = Lattice.from_array(grid["kind"], array, basis, origin)
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
