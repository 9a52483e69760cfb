"""One section on its lattice, from reading to writing."""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ._lattice import Lattice

__all__ = ["SectionOnLattice"]


@dataclass(frozen=True, eq=False)
class SectionOnLattice:
    """Sites of one section: their rows of the AnnData, lattice, measured spots, and the values to learn from.

    Everything that depends on the order of sites, such as random draws and rounding, is done `by_position`, so results
    do not depend on the order of observations.
    """

    name: str | None
    """Its value of the library key; None where the AnnData is one section."""
    rows: NDArray[np.int64]
    """(n_sites,) its rows of the AnnData."""
    lattice: Lattice
    """Lattice of these rows, in their order."""
    measured: NDArray[np.bool_]
    """(n_sites,) its spots."""
    wanted: NDArray[np.bool_]
    """(n_sites,) where to predict."""
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(n_measured, n_informative) measured values of the genes to learn from."""
    depth: NDArray[np.float64] | None = None
    """(n_measured,) total counts in any unit; None where they are not known."""
    covariates: NDArray[np.float64] | None = None
    """(n_sites, n_covariates) standardised over the sites; None if there are none."""
    unit: NDArray[np.float64] | None = None
    """(n_measured,) value of one molecule before log1p, where measured values are to be denoised."""
    logged: bool = False
    """Whether values are log1p of counts times `unit`."""

    @property
    def spots(self) -> NDArray[np.int64]:
        """(n_measured,) rows of the AnnData."""
        return self.rows[self.measured]

    def positions(self, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n_sites, 2) in units of the spacing of those spots that are seen, (n_sites,)."""
        return self.lattice.unit_coordinates / self.lattice.spot_pitch(seen)

    def digest(self) -> str:
        """Return a SHA-256 of the spots: their relative positions, values and depth."""
        spots = self.lattice.index[self.measured]
        found = hashlib.sha256(repr((self.lattice.kind.name, self.values.shape)).encode())
        for array in (spots - spots.min(axis=0), self.values, self.depth):
            if array is not None:
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def by_position(self) -> "SectionOnLattice":
        """Sort sites into an order that does not depend on that of the AnnData; before `values` are read."""
        return self._at(np.argsort(self.lattice.position))

    def cut(self, sites: NDArray[np.bool_]) -> "SectionOnLattice":
        """Select some of the sites, (n_sites,)."""
        if sites.all():
            return self
        kept = sites[self.measured]
        return replace(
            self._at(sites),
            values=self.values[kept],
            depth=None if self.depth is None else self.depth[kept],
            unit=None if self.unit is None else self.unit[kept],
        )

    def _at(self, sites: NDArray[np.bool_] | NDArray[np.int64]) -> "SectionOnLattice":
        """Select or reorder sites, but not the values of spots."""
        return replace(
            self,
            rows=self.rows[sites],
            lattice=self.lattice.subset(sites),
            measured=self.measured[sites],
            wanted=self.wanted[sites],
            covariates=None if self.covariates is None else self.covariates[sites],
        )
