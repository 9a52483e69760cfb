"""A section on its lattice: the form in which all computations take a section."""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ._lattice import Lattice

__all__ = ["SectionOnLattice"]


@dataclass(frozen=True, eq=False)
class SectionOnLattice:
    """Sites of a section, and the measured values that models are fitted to.

    Sites are sorted `by_position` before anything is computed, so that random draws and rounding do not depend on the
    order of observations.
    """

    name: str | None  # value of the library key; None if the AnnData is a single section
    rows: NDArray[np.int64]  # (n_sites,) rows of the AnnData
    lattice: Lattice  # lattice of these sites
    measured: NDArray[np.bool_]  # (n_sites,) which sites are spots
    wanted: NDArray[np.bool_]  # (n_sites,) at which sites to predict
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(n_measured, n_informative) measured values of the most variable genes."""
    depth: NDArray[np.float64] | None = None  # (n_measured,) size factors in any unit; None if unknown
    covariates: NDArray[np.float64] | None = None  # (n_sites, n_covariates) standardised over the sites
    unit: NDArray[np.float64] | None = None
    """(n_measured,) value of one molecule before log1p; None unless measured values are denoised."""
    logged: bool = False  # whether values are log1p of counts times `unit`

    @property
    def spots(self) -> NDArray[np.int64]:
        """Rows of the AnnData that are spots, (n_measured,)."""
        return self.rows[self.measured]

    @property
    def denoised(self) -> bool:
        """Whether measured values are replaced by denoised ones."""
        return self.unit is not None

    def positions(self, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return x and y of all sites in units of the spacing of the spots `seen` (n_sites,), (n_sites, 2)."""
        return self.lattice.unit_coordinates / self.lattice.spot_pitch(seen)

    def digest(self) -> str:
        """Return a SHA-256 of relative positions, values and size factors of the spots."""
        spots = self.lattice.index[self.measured]
        found = hashlib.sha256(repr((self.lattice.kind.name, self.values.shape)).encode())
        for array in (spots - spots.min(axis=0), self.values, self.depth):
            if array is not None:
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def by_position(self) -> "SectionOnLattice":
        """Sort the sites by lattice position; call it before `values` are set."""
        return self._at(np.argsort(self.lattice.position))

    def cut(self, sites: NDArray[np.bool_]) -> "SectionOnLattice":
        """Return the section restricted to some of its sites, (n_sites,)."""
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
        """Select or reorder the sites, but not the arrays of spots."""
        return replace(
            self,
            rows=self.rows[sites],
            lattice=self.lattice.subset(sites),
            measured=self.measured[sites],
            wanted=self.wanted[sites],
            covariates=None if self.covariates is None else self.covariates[sites],
        )
