"""Reading a section out of an AnnData: its lattice, what may be seen of it, and values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import _keys
from ._checks import check_column, check_layer, check_numeric, few, is_sparse
from ._lattice import KINDS, Lattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Placed",
    "array_positions",
    "choose_section",
    "grid_entry",
    "looks_like_counts",
    "read_lattice",
    "read_mask",
    "read_sections",
    "read_values",
]


@dataclass(frozen=True, eq=False)
class Placed:
    """One section of an AnnData: which rows it has, and where they lie."""

    name: str | None
    """Its value of the library key, None where the AnnData is one section."""
    rows: NDArray[np.int64]
    """(n_sites,): its rows of the AnnData, ascending."""
    lattice: Lattice
    """The lattice of these rows, in their order."""


def array_positions(adata: "AnnData") -> NDArray[np.int64]:
    """Return array_row and array_col, of shape (n_obs, 2).

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If they are missing for some spots or no whole numbers.
    """
    columns = []
    for key in (_keys.ARRAY_ROW, _keys.ARRAY_COL):
        column = adata.obs[key]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            msg = f"adata.obs[{key!r}] must hold whole numbers, found dtype {column.dtype}"
            raise TypeError(msg)
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if not np.all(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)):
            bad = ~(np.isfinite(values) & (values == np.round(values)))
            msg = f"adata.obs[{key!r}] must hold whole numbers, found {few(values[bad]) or 'values beyond 2^53'}"
            raise ValueError(msg)
        columns.append(values.astype(np.int64))
    return np.stack(columns, axis=1)


def grid_entry(lattice: Lattice, *, stride: int) -> dict[str, Any]:
    """Describe a lattice for uns."""
    rows, cols = lattice.array.max(axis=0) + 1
    return {
        "kind": lattice.kind.name,
        "shape": np.array([rows, cols]),
        "stride": stride,
        "pitch": lattice.pitch,
        "basis": lattice.basis,
        "origin": lattice.origin,
    }


def read_sections(adata: "AnnData") -> list[Placed]:
    """Return the sections that :func:`s2s_scverse.pp.grid` laid out, those without any row left out.

    Raises
    ------
    KeyError
        If there is no lattice.
    ValueError
        If what is there cannot be what `pp.grid` wrote.
    """
    grid = _read_grid(adata)
    array = array_positions(adata)
    if _keys.SECTIONS not in grid:
        return [Placed(None, np.arange(adata.n_obs), _lattice(grid, array))]
    key = str(grid[_keys.LIBRARY_KEY])
    if key not in adata.obs:
        msg = f"adata.obs has no {key!r}, which says to which section a site belongs; call s2s.pp.grid again"
        raise KeyError(msg)
    column = adata.obs[key].astype(str).to_numpy()
    unknown = set(column) - set(grid[_keys.SECTIONS])
    if unknown:
        msg = f"adata.obs[{key!r}] names sections without a lattice ({few(sorted(unknown))}); call s2s.pp.grid again"
        raise ValueError(msg)
    placed = []
    # By name: h5ad gives them back in that order, and randomness is dealt out section by section.
    for name, entry in sorted(grid[_keys.SECTIONS].items()):
        rows = np.flatnonzero(column == name)
        if len(rows):
            placed.append(Placed(name, rows, _lattice(entry, array[rows])))
    return placed


def read_lattice(adata: "AnnData") -> Lattice:
    """Return the lattice of an AnnData that is one section.

    Raises
    ------
    KeyError
        If there is no lattice.
    ValueError
        If there are several sections.
    """
    sections = read_sections(adata)
    if len(sections) > 1:
        names = few(section.name for section in sections)
        msg = f"adata holds {len(sections)} sections ({names}), and this needs one; pass library="
        raise ValueError(msg)
    return sections[0].lattice


def choose_section(adata: "AnnData", library: str | None) -> "AnnData":
    """Return the AnnData, or of several sections the one named.

    Raises
    ------
    KeyError
        If there is no such section.
    """
    if library is None:
        return adata
    sections = {section.name: section.rows for section in read_sections(adata)}
    if library not in sections:
        found = "one section without a name" if None in sections else few(str(name) for name in sections)
        msg = f"section {library!r} not found; adata has: {found}"
        raise KeyError(msg)
    return adata[sections[library]]


def _read_grid(adata: "AnnData") -> Mapping[str, Any]:
    entry = adata.uns.get(_keys.UNS, {})
    grid = entry.get(_keys.GRID) if isinstance(entry, Mapping) else None
    missing = [key for key in (_keys.ARRAY_ROW, _keys.ARRAY_COL, _keys.MEASURED) if key not in adata.obs]
    if not isinstance(grid, Mapping) or missing:
        found = f"adata.obs has no {few(missing)}" if missing else f"adata.uns[{_keys.UNS!r}] has no {_keys.GRID!r}"
        msg = f"no lattice found ({found}); call dense = s2s.pp.grid(adata) first and go on with dense"
        raise KeyError(msg)
    return grid


def _lattice(grid: Mapping[str, Any], array: NDArray[np.int64]) -> Lattice:
    if grid.get("kind") not in KINDS:
        msg = (
            f"adata.uns[{_keys.UNS!r}][{_keys.GRID!r}] has an unknown kind {grid.get('kind')!r}; call s2s.pp.grid again"
        )
        raise ValueError(msg)
    lattice = Lattice.from_array(
        grid["kind"], array, np.asarray(grid["basis"], float), np.asarray(grid["origin"], float)
    )
    lattice.check_extent()
    if len(np.unique(lattice.position)) < len(lattice):
        msg = "two sites share one lattice position; adata was changed after s2s.pp.grid: call it again"
        raise ValueError(msg)
    return lattice


def read_mask(adata: "AnnData", key: str) -> NDArray[np.bool_]:
    """Return `s2s_measured` or `s2s_held_out`; a missing one means nothing is held out."""
    if key not in adata.obs:
        return np.zeros(adata.n_obs, dtype=bool)
    return check_column(adata, key)


def read_values(
    adata: "AnnData",
    rows: NDArray[np.bool_],
    columns: NDArray[np.int64],
    *,
    layer: str | None = None,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return the values of some sites and genes as a dense (n_rows, n_columns) array.

    Only the rows asked for are ever read: what is held out never leaves the AnnData. `finite` refuses NaN.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If the values are no real numbers.
    ValueError
        If there is no X, or a value is NaN or infinite.
    """
    check_layer(adata, layer)
    matrix = adata.X if layer is None else adata.layers[layer]
    what = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    if matrix is None:
        msg = "adata.X is None; pass layer="
        raise ValueError(msg)
    check_numeric(matrix, what)
    block = _submatrix(matrix, np.flatnonzero(rows), columns)
    if hasattr(block, "compute"):
        block = block.compute()
    dense = block.toarray() if is_sparse(block) else np.asarray(block)
    values = np.ascontiguousarray(dense, dtype=np.float32)
    if finite and not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
        msg = (
            f"{what} is NaN or infinite at measured spots for {few(adata.var_names[columns[bad]])}; "
            "set or drop those values"
        )
        raise ValueError(msg)
    return values


def _submatrix(matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    """Take rows and columns, without a copy of whole rows where only a few columns are asked for."""
    if np.array_equal(columns, np.arange(matrix.shape[1])):
        return matrix[rows]
    if isinstance(matrix, np.ndarray):
        return matrix[np.ix_(rows, columns)]
    return matrix[:, columns][rows] if getattr(matrix, "format", None) == "csc" else matrix[rows][:, columns]


def looks_like_counts(values: NDArray[np.float32]) -> bool:
    """Whether all values are whole numbers, not all of them 0 or 1."""
    return bool(values.max(initial=0) > 1 and np.array_equal(values, np.round(values)))
