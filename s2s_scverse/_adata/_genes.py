"""Values of matrices of any storage: blocks of genes at measured spots, and the size factors of spots."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from .._checks import are_counts, as_dense, check_layer, check_numeric, few, in_memory, is_sparse
from .._predict._arrays import Bool, Float32, Float64, Int

__all__ = [
    "GENE_BLOCK",
    "GeneMatrix",
    "find_depth",
    "find_matrix",
    "gene_blocks",
    "most_variable",
    "read_molecules",
    "read_values",
    "row_blocks",
]

GENE_BLOCK = 256  # number of genes that are read, imputed and written at a time
ROW_BLOCK = 1024  # smallest number of rows that are read at a time
LARGEST = 1e15  # largest absolute value, so that sums of squares fit into single precision
SAMPLED = 200  # number of spots that are examined for size factors
MAX_LOG = 50  # largest value that can be a logarithm
MAX_DIVISOR = 20  # largest number of molecules in the smallest value of a spot
CONSISTENT = 0.95  # fraction of the spots whose values must be multiples of a unit
MIN_VALUES, MIN_SPOTS = 4, 10  # positive values of a spot, and such spots, needed to exclude chance


def gene_blocks(written: Bool, *, aligned: bool = False) -> list[slice | Int]:
    """Cut the genes to be written, (n_genes,), into blocks; `aligned` ones do not cross multiples of `GENE_BLOCK`."""
    columns = np.flatnonzero(written)
    number = (columns if aligned else np.arange(len(columns))) // GENE_BLOCK
    blocks = np.split(columns, np.flatnonzero(np.diff(number)) + 1) if len(columns) else []
    whole = [len(block) == block[-1] + 1 - block[0] for block in blocks]
    return [slice(block[0], block[-1] + 1) if one else block for block, one in zip(blocks, whole, strict=True)]


def find_matrix(adata: AnnData, layer: str | None) -> tuple[Any, str]:
    """Return X or a layer as stored, and its name for error texts."""
    check_layer(adata, layer)
    if layer is not None:
        return adata.layers[layer], f"adata.layers[{layer!r}]"
    if adata.X is None:
        msg = "adata.X is None; pass layer="
        raise ValueError(msg)
    return adata.X, "adata.X"


class GeneMatrix:
    """Values of the sites `rows` (n_obs,) and genes `columns`, of any storage; no other rows are read."""

    def __init__(self, adata: AnnData, rows: Bool, columns: Int, *, layer: str | None = None) -> None:
        self._matrix, self._what = find_matrix(adata, layer)
        check_numeric(self._matrix, self._what)
        self._rows, self._columns, self._names = np.flatnonzero(rows), columns, adata.var_names

    def __len__(self) -> int:
        return len(self._columns)

    def by_gene(self) -> "GeneMatrix":
        """Convert a sparse matrix in memory to CSC, once for all blocks."""
        if not is_sparse(self._matrix) or self._matrix.format == "csc":
            return self
        by_gene = copy(self)
        by_gene._matrix = self.lazy(slice(None)).tocsc()
        by_gene._rows, by_gene._columns = np.arange(len(self._rows)), np.arange(len(self._columns))
        by_gene._names = self._names[self._columns]
        return by_gene

    def lazy(self, genes: slice | Int) -> Any:
        """Return values (n_rows, n_genes) as stored, without copying whole rows; not yet read if the matrix is lazy."""
        matrix, rows, columns = self._matrix, self._rows, self._columns[genes]
        if isinstance(matrix, np.ndarray):
            return matrix[np.ix_(rows, columns)]
        if getattr(matrix, "format", None) == "csc":
            return _columns(matrix, columns)[rows]
        if hasattr(matrix, "compute") or is_sparse(matrix):
            return _columns(matrix[rows], columns)
        # Backed by a file.
        if hasattr(matrix, "format"):
            starts = range(0, len(rows), ROW_BLOCK)
            return sparse.vstack([_columns(matrix[rows[at : at + ROW_BLOCK]], columns) for at in starts], format="csr")
        order = np.argsort(columns)
        return np.asarray(_columns(matrix, columns[order])[rows])[:, np.argsort(order)]

    def read(self, genes: slice | Int, *, finite: Bool | bool = True) -> Float32:
        """Return values as a dense array (n_rows, n_genes).

        NaN, infinite and very large values raise a ValueError in genes that must be `finite`, (n_genes,) or one for
        all; other genes with such values are set to 0. Nothing is checked if `finite` is False.
        """
        values = as_dense(self.lazy(genes))
        if finite is False:
            return values
        bad = ~(np.abs(values) <= LARGEST).all(axis=0)
        refused = bad & finite
        if refused.any():
            most, names = np.abs(values[:, refused]).max(), few(self._names[self._columns[genes][refused]])
            if np.isfinite(most):
                msg = f"{self._what} has values up to {most:g} for {names}, more than {LARGEST:g}; rescale"
            else:
                msg = f"{self._what} is NaN or infinite at measured spots for {names}; set or drop those values"
            raise ValueError(msg)
        values[:, bad] = 0
        return values


def read_values(adata: AnnData, rows: Bool, columns: Int, *, layer: str | None = None, finite: bool = True) -> Float32:
    """Return values of some sites and genes as a dense array (n_rows, n_columns), see `GeneMatrix`."""
    return GeneMatrix(adata, rows, columns, layer=layer).read(slice(None), finite=finite)


def _columns(matrix: Any, columns: Int) -> Any:
    """Select columns, as a slice if they are contiguous."""
    first = int(columns[0]) if len(columns) else 0
    if np.array_equal(columns, np.arange(first, first + len(columns))):
        return matrix[:, first : first + len(columns)]
    return matrix[:, columns]


def most_variable(matrix: GeneMatrix, sections: list[Int], written: Bool, n: int) -> tuple[Int, bool]:
    """Return the n most variable genes, without constant ones, and whether values look like counts in every section.

    `sections` are rows of the matrix; `written` genes (n_genes,) must be finite.
    """
    variance, some = np.zeros(len(matrix)), False
    whole, largest = np.ones(len(sections), bool), np.zeros(len(sections))
    for block in gene_blocks(np.ones(len(matrix), bool)):
        values = matrix.read(block, finite=written[block])
        some = some or bool(values.any())
        for number, rows in enumerate(sections):
            own = values if len(rows) == len(values) else values[rows]
            variance[block] += len(rows) * own.var(axis=0, dtype=np.float64)
            largest[number] = max(largest[number], own.max())
            whole[number] &= bool(whole[number]) and are_counts(own)
    if not variance.any() and max(map(len, sections)) > 1:
        what = "no gene varies between measured spots" if some else "all measured values are 0"
        msg = f"{what}, so there is nothing to predict; start from counts: s2s.pp.normalize(adata)"
        raise ValueError(msg)
    order = np.argsort(-variance, kind="stable")[:n]
    return np.sort(order[variance[order] > 0]), bool((whole & (largest > 1)).all())


@dataclass(frozen=True)
class Molecules:
    """Size factors of values that are counts times a factor of the spot, with or without log1p."""

    unit: Float64  # (n_spots,) value of one molecule, before the logarithm
    depth: Float64  # (n_spots,) total count, up to a common factor
    logged: bool


def find_depth(adata: AnnData, rows: Bool, found: Molecules | None, total_counts: str | None) -> Float64 | None:
    """Return the depth of the spots `rows` (n_obs,), in any unit, (n_rows,); None if unknown or the same for all.

    It is that of `read_molecules` if `total_counts` is ``"auto"``, else that column of obs, which must be positive.
    """
    if total_counts == "auto":
        return None if found is None or np.ptp(found.depth) < 1e-3 * found.depth.max() else found.depth
    if total_counts is None:
        return None
    if total_counts not in adata.obs:
        msg = f"total_counts={total_counts!r} not found: adata.obs has no such column; pass 'auto' or None"
        raise KeyError(msg)
    column = adata.obs[total_counts]
    if column.dtype.kind not in "fiu":
        msg = f"adata.obs[{total_counts!r}] must hold numbers, found dtype {column.dtype}"
        raise TypeError(msg)
    depth: Float64 = column.to_numpy(np.float64)[rows]
    if bad := int((~(np.isfinite(depth) & (depth > 0))).sum()):
        msg = f"adata.obs[{total_counts!r}] must be positive at measured spots, but is not at {bad} of {len(depth)}"
        raise ValueError(msg)
    return depth


def read_molecules(adata: AnnData, rows: Bool, *, layer: str | None) -> Molecules | None:
    """Recover the size factors of the spots `rows` (n_obs,); None if values are not (scaled, logged) counts.

    All values of a spot are then multiples of the value of one molecule, which is the smallest value or, with few
    genes, a fraction of it.
    """
    matrix: Any = adata.X if layer is None else adata.layers[layer]
    spots = np.flatnonzero(rows)
    some = np.linspace(0, len(spots) - 1, min(len(spots), SAMPLED)).round().astype(np.int64)
    sample = list(_by_spot(matrix, spots[some]))
    if any((values < 0).any() or np.isinf(values).any() for values in sample):
        return None
    sample = [values[values > 0] for values in sample]
    informative = [values for values in sample if len(values) >= MIN_VALUES]
    if len(informative) < MIN_SPOTS:
        return None
    if all(np.array_equal(values, np.round(values)) for values in sample):
        total = np.array([values[values > 0].sum() for values in _by_spot(matrix, spots)])
        return Molecules(np.ones(len(spots)), np.maximum(total, total[total > 0].min()), logged=False)
    for undo in (np.positive, np.expm1):
        if undo is np.expm1 and any(values.max(initial=0) > MAX_LOG for values in sample):
            return None
        divisors = np.array([_divisor(undo(values)) for values in informative])
        if (divisors > 0).mean() < CONSISTENT:
            continue
        single, unit = (divisors == 1).mean() >= CONSISTENT, np.full(len(spots), np.inf)
        for spot, values in enumerate(_by_spot(matrix, spots)):
            counted = undo(values[values > 0])
            if len(counted) and (divisor := 1 if single else _divisor(counted)):
                unit[spot] = counted.min() / divisor
        unit[~np.isfinite(unit)] = unit[np.isfinite(unit)].max()
        return Molecules(unit, 1 / unit, undo is np.expm1)
    return None


def _divisor(values: Float64) -> int:
    """Return the smallest number of molecules in the smallest value for which all values are counts; 0 if none is."""
    multiple = values[:, None] * np.arange(1, MAX_DIVISOR + 1) / values.min()
    whole = np.all(np.abs(multiple - np.round(multiple)) < 0.01 + 1e-5 * multiple, axis=0)
    return int(whole.argmax()) + 1 if whole.any() else 0


def row_blocks(matrix: Any, rows: Int) -> Iterator[Any]:
    """Yield rows of a matrix of any storage, as sparse matrices or numpy arrays in memory.

    There are at most four blocks, since a matrix stored by gene is read as a whole for each.
    """
    size = max(ROW_BLOCK, -(-len(rows) // 4))
    for start in range(0, len(rows), size):
        yield in_memory(matrix[rows[start : start + size]])


def _by_spot(matrix: Any, spots: Int) -> Iterator[Float64]:
    """Yield the values of every spot; stored ones if the matrix is sparse."""
    for block in row_blocks(matrix, spots):
        by_row = block.tocsr() if is_sparse(block) else None
        rows = block if by_row is None else np.split(by_row.data, by_row.indptr[1:-1])
        yield from (values.astype(np.float64) for values in rows)
