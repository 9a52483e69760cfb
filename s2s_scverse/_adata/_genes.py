"""Values of measured spots, from matrices of any storage, a block of genes at a time."""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .._checks import are_counts, as_dense, check_layer, check_numeric, few, is_sparse

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["GENE_BLOCK", "GeneMatrix", "Survey", "gene_blocks", "read_values"]

GENE_BLOCK = 256
"""Number of genes that are read, imputed and written at a time."""


def gene_blocks(wanted: NDArray[np.bool_]) -> list[slice]:
    """Cut all genes into blocks, and return those with any that is wanted, (n_genes,).

    Blocks are fixed, because the rounding of a result depends on the other genes of its block.
    """
    blocks = [slice(start, min(start + GENE_BLOCK, len(wanted))) for start in range(0, len(wanted), GENE_BLOCK)]
    return [block for block in blocks if wanted[block].any()]


ROW_BLOCK = 1024
"""Number of rows read from a file at a time."""
LARGEST = 1e15
"""Largest absolute value: sums of squares must fit into single precision."""


class GeneMatrix:
    """Values of some sites, read a block of genes at a time; matrices may be in memory, backed by a file, or lazy.

    Only the requested rows are read: held-out values never leave the AnnData.

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

    def by_gene(self) -> "GeneMatrix":
        """Sort sparse rows in memory by gene once instead of for every block."""
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
        """Return the values of any genes, (n_rows, n_genes)."""
        return as_dense(_submatrix(self._matrix, self._rows, self._columns[genes]))


def read_values(
    adata: "AnnData",
    rows: NDArray[np.bool_],
    columns: NDArray[np.int64],
    *,
    layer: str | None = None,
    finite: bool = True,
) -> NDArray[np.float32]:
    """Return values of some sites and genes, dense (n_rows, n_columns); errors are those of `GeneMatrix`."""
    return GeneMatrix(adata, rows, columns, layer=layer).read(slice(None), finite=finite)


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


@dataclass(frozen=True)
class Survey:
    """Summary statistics of all genes of all sections at measured spots.

    Attributes
    ----------
    variance
        (n_genes,) within sections, times the number of spots.
    mean
        (n_genes,) over all sections.
    counts
        Whether values look like counts in every section.
    """

    variance: NDArray[np.float64]
    mean: NDArray[np.float64]
    counts: bool

    @classmethod
    def of(cls, values: GeneMatrix, sections: list[NDArray[np.int64]], wanted: NDArray[np.bool_]) -> "Survey":
        """Read everything once.

        Parameters
        ----------
        values
            Of all measured spots and all genes.
        sections
            Which of these rows belong to each section.
        wanted
            (n_genes,): whose values must be finite; others that are not count as constant.

        Raises
        ------
        ValueError
            If wanted values are not finite, all values are 0, or no gene varies.
        """
        variance, mean = np.zeros(len(values)), np.zeros(len(values))
        whole, largest = np.ones(len(sections), bool), np.zeros(len(sections))
        for block in gene_blocks(np.ones(len(values), bool)):
            found = values.read(block, finite=wanted[block])
            mean[block] = found.mean(axis=0, dtype=np.float64)
            for number, rows in enumerate(sections):
                here = found if len(rows) == len(found) else found[rows]
                variance[block] += len(rows) * here.var(axis=0, dtype=np.float64)
                largest[number] = max(largest[number], here.max())
                whole[number] &= bool(whole[number]) and are_counts(here)
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
        """Return the n genes that vary most, in their order; constant ones are excluded."""
        order = np.argsort(-self.variance, kind="stable")[:n]
        return np.sort(order[self.variance[order] > 0])
