"""Standardisation of genes on the measured spots."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Centre and spread of genes, (n_genes,) each."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], gene_scale: float | None) -> "Scale":
        """Mean and standard deviation of genes (n, n_genes), or 0 and a fixed number."""
        n_genes = values.shape[1]
        if gene_scale is not None:
            return cls(np.zeros(n_genes, np.float32), np.full(n_genes, gene_scale, np.float32))
        centre = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(centre, values.std(axis=0, dtype=np.float64).astype(np.float32))

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardise (n, n_genes)."""
        spread = np.where(self.spread > 0, self.spread, 1).astype(np.float32)
        standard: NDArray[np.float32] = (values - self.centre) / spread
        return standard

    def undo(self, standard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return to the scale of the values; a constant gene stays constant."""
        values: NDArray[np.float32] = standard * self.spread + self.centre
        return values
