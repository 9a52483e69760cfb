"""Imputing blocks of genes: all that is needed for it in one object, which may be sent to another machine."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._calibration import Calibration, Pool
from .._calibration import denoise as denoised
from .._checks import as_dense
from .._interpolation import MAX_LEFT_OUT
from .._scores import mean_over_sections
from ._fitted import Fitted, Imputer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._depth import Molecules

__all__ = ["Block", "Imputation", "Part"]


@dataclass(frozen=True)
class Block:
    """What is written of a block of genes."""

    values: NDArray[np.float32]
    """(n_obs, n_genes)."""
    std: NDArray[np.float32] | None
    reliability: NDArray[np.float64] | None
    """(n_genes,)."""


@dataclass(frozen=True)
class Part:
    """One section: what was fitted to it, and where its values come from and go to."""

    fitted: Fitted
    wanted: NDArray[np.bool_]
    """(n_sites,): where to impute."""
    seen: NDArray[np.int64]
    """(n_measured,): its spots among those of all sections."""
    measured_rows: NDArray[np.int64]
    wanted_rows: NDArray[np.int64]
    """Its measured spots and wanted sites among all observations."""
    errors: bool
    """Whether errors are estimated."""
    molecules: "Molecules | None"
    """Behind the values of its spots, if these are to be denoised."""

    @cached_property
    def imputer(self) -> Imputer:
        """What does not depend on genes, made where it is needed."""
        # To be denoised, every spot has to be left out.
        most = MAX_LEFT_OUT if self.molecules is None else None
        return Imputer(self.fitted, self.wanted, errors=self.errors, max_spots=most)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "imputer"}

    def state(self) -> "Iterator[NDArray[Any]]":
        """Everything that its results depend on besides the values of genes."""
        fitted = self.fitted
        yield from (fitted.section.lattice.index, fitted.section.values, np.array(fitted.gate))
        yield from (self.measured_rows, self.wanted_rows, np.array([self.errors, self.molecules is not None]))
        if fitted.section.depth is not None:
            yield fitted.section.depth
        if fitted.network is not None:
            yield from (weights.detach().cpu().numpy() for weights in fitted.network.state_dict().values())

    @property
    def weight(self) -> int:
        """Of its reliability in the mean over sections."""
        return max(1, len(self.wanted_rows))


@dataclass(frozen=True)
class Imputation:
    """Imputes any block of genes of all sections."""

    parts: list[Part]
    n_obs: int
    uncertainty: bool
    pools: list[Pool | None] = field(default_factory=list)
    """Of every part, what its trained genes say of errors; None where none are estimated."""

    def with_pools(self) -> "Imputation":
        """Find out what the trained genes say of errors."""
        found: list[Pool | None] = []
        for part in self.parts:
            if not part.errors:
                found.append(None)
                continue
            values, imputer = part.fitted.section.values[part.imputer.chosen], part.imputer
            found.append(Pool.fit(values, imputer.predict_trained(), imputer.gain()))
        return replace(self, pools=found)

    def __call__(self, values: Any) -> Block:
        """Impute a block of genes (n_measured, n_genes), a matrix of any kind, of all measured spots."""
        values = as_dense(values)
        bad = ~np.isfinite(values).all(axis=0)  # of genes that nobody asked for
        values = np.where(bad, np.float32(0), values) if bad.any() else values
        n_genes = values.shape[1]
        found = np.full((self.n_obs, n_genes), np.nan, np.float32)
        errors = self.uncertainty and any(part.errors for part in self.parts)
        std = np.full((self.n_obs, n_genes), np.nan, np.float32) if errors else None
        reliabilities, weights = [], []
        for part, pool in zip(self.parts, self.pools, strict=True):
            known = self._impute_part(part, pool, values[part.seen], found, std)
            if known is not None:
                reliabilities.append(known.reliability)
                weights.append(part.weight)
        return Block(found, std, mean_over_sections(reliabilities, weights) if errors else None)

    def _impute_part(
        self,
        part: Part,
        pool: Pool | None,
        values: NDArray[np.float32],
        found: NDArray[np.float32],
        std: NDArray[np.float32] | None,
    ) -> Calibration | None:
        found[part.measured_rows] = values
        if std is not None:
            std[part.measured_rows] = 0
        if not len(part.wanted_rows) and part.molecules is None:
            return None
        answer = part.imputer(values)
        found[part.wanted_rows] = answer.sites
        if pool is None or answer.left_out is None:
            return None
        known = Calibration.fit(values[part.imputer.chosen], answer.left_out, pool)
        if std is not None:
            std[part.wanted_rows] = known.std(answer.sites)
        if part.molecules is not None:
            cleaned, left = denoised(values, answer.left_out, part.molecules.unit, known, logged=part.molecules.logged)
            found[part.measured_rows] = cleaned
            if std is not None:
                std[part.measured_rows] = left
        return known

    def widths(self) -> NDArray[np.float64]:
        """Half-widths of intervals, (n_levels,)."""
        known = [(pool.widths, part.weight) for part, pool in zip(self.parts, self.pools, strict=True) if pool]
        return mean_over_sections(*zip(*known, strict=True))
