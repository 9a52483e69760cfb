"""Where imputed blocks of genes come from and go to."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._section import Values
from ._survey import gene_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._training import Block, Imputation

__all__ = ["Layers", "imputed_blocks"]


def imputed_blocks(imputation: "Imputation", values: Values, *, progress: bool) -> "Iterator[tuple[slice, Block]]":
    """Impute all genes, block by block."""
    from tqdm.auto import tqdm

    blocks = gene_blocks(len(values))
    for block in tqdm(blocks, desc="imputing", unit="block", disable=not progress or len(blocks) == 1):
        yield block, imputation(values.read(block))


class Layers:
    """Layers in memory, to be filled.

    Parameters
    ----------
    shape
        Of the AnnData.
    columns
        (n_genes,): where the genes go.
    dtype
        Of the layers.
    """

    def __init__(self, shape: tuple[int, int], columns: NDArray[np.int64], dtype: str) -> None:
        self._shape, self._columns, self._dtype = shape, columns, dtype
        self.values = self._empty()
        self.std: NDArray[np.floating] | None = None
        self.reliability: NDArray[np.float32] | None = None

    def write(self, genes: slice, block: "Block") -> None:
        """Put a block into its place."""
        columns = self._columns[genes]
        self.values[:, columns] = block.values
        if block.std is not None:
            self.std = self._empty() if self.std is None else self.std
            self.std[:, columns] = block.std
        if block.reliability is not None:
            if self.reliability is None:
                self.reliability = np.full(self._shape[1], np.nan, np.float32)
            self.reliability[columns] = block.reliability

    def _empty(self) -> NDArray[np.floating]:
        if len(self._columns) == self._shape[1]:
            return np.empty(self._shape, self._dtype)
        return np.full(self._shape, np.nan, self._dtype)
