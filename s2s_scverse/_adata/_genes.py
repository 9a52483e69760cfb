"""Blocks of genes at measured spots, from matrices of any storage."""

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .._checks import are_counts, as_dense, check_layer, check_numeric, few, is_sparse

__all__ = ["GENE_BLOCK", "GeneMatrix", "Survey", "find_matrix", "gene_blocks", "read_values"]

GENE_BLOCK = 256  # number of genes that are read, imputed and written at a time
ROW_BLOCK = 1024  # number of rows read from a file at a time
LARGEST = 1e15  # largest absolute value, so that sums of squares fit into single precision


def gene_blocks(written: NDArray[np.bool_], *, aligned: bool = False) -> list[slice | NDArray[np.int64]]:
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
    """Values of the sites `rows` (n_obs,) and genes `columns`, in memory, backed by a file, or lazy.

    Only these rows are read, so held-out values never leave the AnnData.
    """

    def __init__(
        self, adata: AnnData, rows: NDArray[np.bool_], columns: NDArray[np.int64], *, layer: str | None = None
    ) -> None:
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

    def lazy(self, genes: slice | NDArray[np.int64]) -> Any:
        """Return values (n_rows, n_genes) as stored; not yet read if the matrix is lazy."""
        return _submatrix(self._matrix, self._rows, self._columns[genes])

    def read(self, genes: slice | NDArray[np.int64], *, finite: NDArray[np.bool_] | bool = True) -> NDArray[np.float32]:
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


def read_values(
    adata: AnnData,
    rows: NDArray[np.bool_],
    columns: NDArray[np.int64],
    *,
    layer: str | None = None,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return values of some sites and genes as a dense array (n_rows, n_columns), see `GeneMatrix`."""
    return GeneMatrix(adata, rows, columns, layer=layer).read(slice(None), finite=finite)


def _submatrix(matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Any:
    """Select rows and columns without copying whole rows."""
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
    """Select columns, as a slice if they are contiguous."""
    first = int(columns[0]) if len(columns) else 0
    if np.array_equal(columns, np.arange(first, first + len(columns))):
        return matrix[:, first : first + len(columns)]
    return matrix[:, columns]


@dataclass(frozen=True)
class Survey:
    """Summary statistics of all genes at measured spots."""

    variance: NDArray[np.float64]  # (n_genes,) within sections, times the number of spots
    mean: NDArray[np.float64]  # (n_genes,) over all sections
    counts: bool  # whether values look like counts in every section

    @classmethod
    def of(cls, matrix: GeneMatrix, sections: list[NDArray[np.int64]], written: NDArray[np.bool_]) -> "Survey":
        """Compute the statistics; `sections` are rows of the matrix, and `written` genes (n_genes,) must be finite.

        Raises a ValueError if no gene varies.
        """
        variance, mean = np.zeros(len(matrix)), np.zeros(len(matrix))
        whole, largest = np.ones(len(sections), bool), np.zeros(len(sections))
        for block in gene_blocks(np.ones(len(matrix), bool)):
            values = matrix.read(block, finite=written[block])
            mean[block] = values.mean(axis=0, dtype=np.float64)
            for number, rows in enumerate(sections):
                own = values if len(rows) == len(values) else values[rows]
                variance[block] += len(rows) * own.var(axis=0, dtype=np.float64)
                largest[number] = max(largest[number], own.max())
                whole[number] &= bool(whole[number]) and are_counts(own)
        if not variance.any() and max(map(len, sections)) > 1:
            what = "no gene varies between measured spots"
            cause = "normalise over measured spots alone: s2s.pp.normalize(adata) instead of sc.pp.normalize_total"
            if not mean.any():
                what = "all measured values are 0"
                cause += ", whose median total can be 0 where most sites are unmeasured; start from counts"
            msg = f"{what}, so there is nothing to predict; check X, or {cause}"
            raise ValueError(msg)
        return cls(variance, mean, bool((whole & (largest > 1)).all()))

    def most_variable(self, n: int) -> NDArray[np.int64]:
        """Return the n most variable genes, in their order, without constant ones."""
        order = np.argsort(-self.variance, kind="stable")[:n]
        return np.sort(order[self.variance[order] > 0])
