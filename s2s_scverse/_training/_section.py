"""What may be seen of a section, and its scale."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._interpolation import boxes, relative_precision
from .._lattice import Lattice

__all__ = ["Scale", "Section"]

PIECE = 1500
"""Most measured spots in a piece of a large section."""


@dataclass(frozen=True)
class Section:
    """What may be seen of a section."""

    lattice: Lattice
    measured: NDArray[np.bool_]
    """(n_sites,)."""
    values: NDArray[np.float32]
    """(n_measured, n_genes), the measured values of the genes that are trained on, and no others."""
    depth: NDArray[np.float64] | None = None
    """(n_measured,): total counts in any unit, None where they are not known."""

    def precision(self, seen: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return how much the values of those measured sites say that are seen, (n_sites,); None: all the same."""
        if self.depth is None:
            return None
        sites = self.lattice.unit_coordinates[seen] / self.lattice.spot_pitch(seen)
        return relative_precision(sites, self.depth[seen[self.measured]])

    def without(self, left_out: NDArray[np.bool_]) -> "Section":
        """Return the same with fewer measured sites; `left_out` is (n_sites,)."""
        kept = ~left_out[self.measured]
        depth = None if self.depth is None else self.depth[kept]
        return replace(self, measured=self.measured & ~left_out, values=self.values[kept], depth=depth)

    def pieces(self, max_spots: int) -> list[NDArray[np.bool_]]:
        """Return all sites, or of a large section some pieces spread over it, with about `max_spots` spots in all.

        What there is to learn from does not grow without end, and neither need the memory for it. Each is (n_sites,).
        """
        n = int(self.measured.sum())
        if n <= max_spots:
            return [np.ones(len(self.measured), bool)]
        at = self.lattice.unit_coordinates
        parts = boxes(at[self.measured], PIECE)
        wanted = np.linspace(0, len(parts) - 1, max(1, round(len(parts) * max_spots / n))).round().astype(int)
        return [np.all((at >= low) & (at < high), axis=1) for low, high, _ in (parts[i] for i in np.unique(wanted))]

    def cut(self, sites: NDArray[np.bool_]) -> "Section":
        """Return some of the sites, (n_sites,)."""
        if sites.all():
            return self
        kept = sites[self.measured]
        return replace(
            self,
            lattice=self.lattice.subset(sites),
            measured=self.measured[sites],
            values=self.values[kept],
            depth=None if self.depth is None else self.depth[kept],
        )


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
