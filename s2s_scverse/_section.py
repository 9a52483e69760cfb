"""Reading a section out of an AnnData: its lattice, what may be seen of it, and values."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from . import _keys
from ._checks import as_dense, check_column, check_layer, check_name, check_numeric, few, is_sparse
from ._lattice import KINDS, Lattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Placed",
    "Values",
    "array_positions",
    "choose_section",
    "grid_entry",
    "read_lattice",
    "read_mask",
    "read_measured",
    "read_sections",
    "read_values",
]


AGAIN = (
    f"call s2s.pp.grid again on the spots (adata[adata.obs[{_keys.MEASURED!r}]]), with library_key= if these are "
    "sections that were concatenated"
)
"""Advice where what `pp.grid` wrote does not hold any more, as after :func:`anndata.concat`."""

ROW_BLOCK = 1024
"""Rows of a file that are read at a time."""


@dataclass(frozen=True, eq=False)
class Placed:
    """One section of an AnnData: which rows it has, and where they lie."""

    name: str | None
    """Its value of the library key, None where the AnnData is one section."""
    rows: NDArray[np.int64]
    """(n_sites,): its rows of the AnnData, ascending unless ordered by position."""
    lattice: Lattice
    """The lattice of these rows, in their order."""

    def by_position(self) -> "Placed":
        """The same, in an order that does not depend on that of the AnnData."""
        order = np.argsort(self.lattice.position)
        return Placed(self.name, self.rows[order], self.lattice.subset(order))


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
            msg = (
                f"adata.obs[{key!r}] must hold whole numbers, found dtype {column.dtype}; convert it "
                "(pandas.to_numeric), or drop both array columns to have the lattice fitted from the coordinates"
            )
            raise TypeError(msg)
        values = column.to_numpy(dtype=float, na_value=np.nan)
        if not np.all(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)):
            bad = ~(np.isfinite(values) & (values == np.round(values)))
            msg = (
                f"adata.obs[{key!r}] must hold whole numbers, found {few(values[bad]) or 'values beyond 2^53'}; "
                "correct them, or drop both array columns to have the lattice fitted from the coordinates"
            )
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
        msg = f"adata.obs[{key!r}] names sections without a lattice ({few(sorted(unknown))}); {AGAIN}"
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
    check_name("library", library)
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
        advice = "call dense = s2s.pp.grid(adata) first and go on with dense" if missing else AGAIN
        msg = f"no lattice found ({found}); {advice}"
        raise KeyError(msg)
    return grid


def _lattice(grid: Mapping[str, Any], array: NDArray[np.int64]) -> Lattice:
    if grid.get("kind") not in KINDS:
        msg = f"adata.uns[{_keys.UNS!r}][{_keys.GRID!r}] has an unknown kind {grid.get('kind')!r}; {AGAIN}"
        raise ValueError(msg)
    basis, origin = _geometry(grid, "basis", (2, 2)), _geometry(grid, "origin", (2,))
    lattice = Lattice.from_array(grid["kind"], array, basis, origin)
    lattice.check_extent(_stride(grid))
    if len(np.unique(lattice.position)) < len(lattice):
        msg = f"two sites share one lattice position, since adata was changed after s2s.pp.grid; {AGAIN}"
        raise ValueError(msg)
    return lattice


def _stride(grid: Mapping[str, Any]) -> int:
    """Return the spacing of the spots that `pp.grid` laid out: 1 to 8."""
    stride = grid.get("stride", 1)
    return int(stride) if isinstance(stride, int | np.integer) and 1 <= stride <= 8 else 1


def _geometry(grid: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the basis or the origin of a lattice."""
    try:
        found = np.asarray(grid.get(key), dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != shape or not np.isfinite(found).all() or (len(shape) == 2 and np.linalg.det(found) == 0):
        msg = (
            f"adata.uns[{_keys.UNS!r}][{_keys.GRID!r}][{key!r}] is no {key} of a lattice, found {grid.get(key)!r}; "
            f"{AGAIN}"
        )
        raise ValueError(msg)
    return found


def read_mask(adata: "AnnData", key: str) -> NDArray[np.bool_]:
    """Return `s2s_measured` or `s2s_held_out`; a missing one means nothing is held out."""
    if key not in adata.obs:
        return np.zeros(adata.n_obs, dtype=bool)
    return check_column(adata, key)


def read_measured(adata: "AnnData") -> NDArray[np.bool_]:
    """Return which sites are measured, refusing a section without any."""
    measured = read_mask(adata, _keys.MEASURED)
    if not measured.any():
        msg = f"no site is measured: adata.obs[{_keys.MEASURED!r}] is False everywhere; call s2s.pp.grid on the spots"
        raise ValueError(msg)
    return measured


LARGEST = 1e15
"""Of values: sums of their squares have to fit into single precision."""


class Values:
    """Values of some sites, read a block of genes at a time; matrices may be in memory, backed by a file, or lazy.

    Only the rows asked for are ever read: what is held out never leaves the AnnData.

    Parameters
    ----------
    adata, layer
        Where they are; X by default.
    rows
        (n_obs,): the sites.
    columns
        The genes, in the order in which they are counted here.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError
        If the values are no real numbers.
    ValueError
        If there is no X.
    """

    def __init__(
        self, adata: "AnnData", rows: NDArray[np.bool_], columns: NDArray[np.int64], *, layer: str | None = None
    ) -> None:
        check_layer(adata, layer)
        matrix: Any = adata.X if layer is None else adata.layers[layer]
        self._what = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
        if matrix is None:
            msg = "adata.X is None; pass layer="
            raise ValueError(msg)
        check_numeric(matrix, self._what)
        self._matrix, self._rows, self._columns = matrix, np.flatnonzero(rows), columns
        self._names = adata.var_names

    def __len__(self) -> int:
        return len(self._columns)

    def by_gene(self) -> "Values":
        """The same, with sparse rows in memory sorted by gene once, not anew for every block."""
        if not is_sparse(self._matrix) or self._matrix.format == "csc":
            return self
        found = copy(self)
        found._matrix = _submatrix(self._matrix, self._rows, self._columns).tocsc()
        found._rows, found._columns = np.arange(len(self._rows)), np.arange(len(self._columns))
        found._names = self._names[self._columns]
        return found

    def lazy(self, genes: slice) -> Any:
        """Values (n_rows, n_genes) as they are stored, not yet read if the matrix is lazy."""
        return _submatrix(self._matrix, self._rows, self._columns[genes])

    def read(self, genes: slice, *, finite: "NDArray[np.bool_] | bool" = True) -> NDArray[np.float32]:
        """Values as a dense array (n_rows, n_genes).

        Parameters
        ----------
        genes
            Which.
        finite
            (n_genes,) or one for all: whose values must be finite. Of others a gene with values that are NaN, infinite
            or too large to compute with is 0 everywhere, unless `finite` is False for all.

        Raises
        ------
        ValueError
            If a value that must be is not.
        """
        values = as_dense(self.lazy(genes))
        if finite is False:
            return values
        bad = ~(np.abs(values) <= LARGEST).all(axis=0)
        refused = bad & finite
        if refused.any():
            self._refuse(values[:, refused], self._names[self._columns[genes][refused]])
        values[:, bad] = 0
        return values

    def _refuse(self, values: NDArray[np.float32], names: Any) -> None:
        if np.isfinite(values).all():
            most = np.abs(values).max()
            msg = f"{self._what} has values up to {most:g} for {few(names)}, more than {LARGEST:g}; rescale"
        else:
            msg = f"{self._what} is NaN or infinite at measured spots for {few(names)}; set or drop those values"
        raise ValueError(msg)

    def read_some(self, genes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the values of some genes anywhere among them, (n_rows, n_genes)."""
        return as_dense(_submatrix(self._matrix, self._rows, self._columns[genes]))


def read_values(
    adata: "AnnData",
    rows: NDArray[np.bool_],
    columns: NDArray[np.int64],
    *,
    layer: str | None = None,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return the values of some sites and genes as a dense (n_rows, n_columns) array; errors are those of `Values`."""
    return Values(adata, rows, columns, layer=layer).read(slice(None), finite=finite)


def _submatrix(matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    """Take rows and columns, without a copy of whole rows where only a few columns are asked for."""
    if isinstance(matrix, np.ndarray):
        return matrix[np.ix_(rows, columns)]
    if getattr(matrix, "format", None) == "csc":
        return _columns(matrix, columns)[rows]
    if hasattr(matrix, "compute") or is_sparse(matrix):
        return _columns(matrix[rows], columns)
    # Backed by a file.
    if hasattr(matrix, "format"):
        parts = [_columns(matrix[rows[start : start + ROW_BLOCK]], columns) for start in range(0, len(rows), ROW_BLOCK)]
        return sparse.vstack(parts, format="csr")
    order = np.argsort(columns)
    block = np.asarray(_columns(matrix, columns[order])[rows])
    return block[:, np.argsort(order)]


def _columns(matrix: Any, columns: NDArray[np.int64]) -> Any:
    """Take columns, as a slice where they follow one another."""
    first = int(columns[0]) if len(columns) else 0
    if np.array_equal(columns, np.arange(first, first + len(columns))):
        return matrix[:, first : first + len(columns)]
    return matrix[:, columns]
