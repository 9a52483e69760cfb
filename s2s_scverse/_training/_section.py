"""What may be seen of a section, and its scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._interpolation import relative_precision
from .._lattice import Lattice

__all__ = ["Scale", "Section", "most_variable"]


@dataclass(frozen=True)
class Section:
    """What may be seen of a section."""

    lattice: Lattice
    measured: NDArray[np.bool_]
    """(n_sites,)."""
    values: NDArray[np.float32]
    """(n_measured, n_genes), the measured values and no others."""
    depth: NDArray[np.float64] | None = None
    """(n_measured,): total counts in any unit, None where they are not known."""

    def with_genes(self, columns: NDArray[np.int64]) -> "Section":
        """Return some of the genes."""
        return replace(self, values=self.values[:, columns])

    def precision(self, seen: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return how much the values of those measured sites say that are seen, (n_sites,); None: all the same."""
        if self.depth is None:
            return None
        sites = self.lattice.unit_coordinates[seen] / self.lattice.spot_pitch(seen)
        return relative_precision(sites, self.depth[seen[self.measured]])


def most_variable(sections: Sequence[Section], n: int) -> NDArray[np.int64]:
    """Return the n genes that vary most within sections, in their order; constant ones have nothing to teach."""
    squares = [len(section.values) * section.values.var(axis=0, dtype=np.float64) for section in sections]
    variance = np.sum(squares, axis=0)
    order = np.argsort(-variance, kind="stable")[:n]
    return np.sort(order[variance[order] > 0])


@dataclass(frozen=True)
class Scale:
    """Standardisation of genes on the measured spots."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32], gene_scale: float | None) -> "Scale":
        """Mean and standard deviation per gene, or 0 and a fixed number."""
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
        """Return to the scale of the values; a constant gene stays constant whatever was predicted."""
        values: NDArray[np.float32] = standard * self.spread + self.centre
        return values
