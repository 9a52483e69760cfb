"""What `tl.impute` reads of an AnnData before anything is trained."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._calibration import FEWEST
from .._depth import AUTO, Molecules, find_depth, read_molecules
from .._section import Values
from ._estimate import Estimate, Size, estimate
from ._layers import digest
from ._run import Task, rows_of_sections
from ._survey import Survey, gene_blocks

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from .._training import Fitted, Part, Section, TrainingConfig
    from ..nn import CDCINConfig

__all__ = ["Options", "Source"]


@dataclass(frozen=True)
class Options:
    """What is done besides imputing."""

    uncertainty: bool
    denoise: bool
    total_counts: str | None

    @classmethod
    def of(cls, total_counts: object, *, uncertainty: bool, denoise: bool) -> "Options":
        """Check them."""
        if total_counts is not None and not isinstance(total_counts, str):
            msg = f"total_counts must be 'auto', the name of a column of adata.obs or None, found {total_counts!r}"
            raise TypeError(msg)
        return cls(uncertainty=uncertainty, denoise=denoise, total_counts=total_counts)

    @property
    def errors(self) -> bool:
        """Whether spots are left out to learn of errors."""
        return self.uncertainty or self.denoise

    def params(self) -> dict[str, Any]:
        """In values that h5ad can hold."""
        return asdict(self) | {"total_counts": str(self.total_counts)}


@dataclass(frozen=True, eq=False)
class Source:
    """What is read of an AnnData before anything is trained; lists have an entry for every section."""

    measured: "NDArray[np.bool_]"
    """(n_obs,)."""
    wanted: "NDArray[np.bool_]"
    """(n_genes,): which genes to impute; all that vary most are learnt from."""
    tasks: list[Task]
    seen: "list[NDArray[np.int64]]"
    """Spots of a section among those of all, (n_measured,)."""
    values: Values
    survey: Survey
    depths: "list[NDArray[np.float64] | None]"
    """Of spots, (n_measured,)."""
    molecules: list[Molecules | None]

    @classmethod
    def read(
        cls,
        adata: "AnnData",
        measured: "NDArray[np.bool_]",
        tasks: list[Task],
        wanted: "NDArray[np.bool_]",
        layer: str | None,
        options: Options,
    ) -> "Source":
        """Read the measured rows of all genes, and look at all values once; `wanted` are the genes to impute."""
        values = Values(adata, measured, np.arange(adata.n_vars), layer=layer).by_gene()
        seen = rows_of_sections(measured, tasks)
        survey = Survey.of(values, seen, wanted)
        depths, molecules = _read_counts(adata, tasks, layer, options)
        return cls(measured, wanted, tasks, seen, values, survey, depths, molecules)

    def __str__(self) -> str:
        spots, wanted = int(self.measured.sum()), sum(int(task.wanted.sum()) for task in self.tasks)
        sections = "" if len(self.tasks) == 1 else f"{len(self.tasks)} sections, "
        return f"{sections}{spots} spots, {wanted} sites to impute, {int(self.wanted.sum())} genes"

    def estimate(self, network: "CDCINConfig", training: "TrainingConfig", options: Options, *, held: int) -> Estimate:
        """How long this will take; `held`: genes of layers in memory."""
        sizes = [Size(len(rows), len(task.placed.rows)) for rows, task in zip(self.seen, self.tasks, strict=True)]
        n_genes = sum(block.stop - block.start for block in gene_blocks(self.wanted))
        return estimate(sizes, n_genes, network, training, errors=options.errors, held=held)

    def depth(self, options: Options) -> str:
        """Say where the depth of the spots is from: ``"values"``, a column of obs, or ``"none"`` if it is not used."""
        known = sum(depth is not None for depth in self.depths)
        if not known:
            return "none"
        source = "values" if options.total_counts == AUTO else f"obs[{options.total_counts!r}]"
        return source if known == len(self.depths) else f"{source} in {known} of {len(self.depths)} sections"

    def digest(self) -> str:
        """What tells it from other data."""
        molecules = [array for found in self.molecules if found for array in (found.unit, found.depth)]
        lattices = (task.placed.lattice.index for task in self.tasks)
        return digest(self.survey.mean, self.survey.variance, self.measured, *self.depths, *molecules, *lattices)

    def sections(self, max_genes: int) -> "list[Section]":
        """What is trained on: the genes that vary most."""
        from .._training import Section

        trained = self.values.read_some(self.survey.most_variable(max_genes))
        return [
            Section(task.placed.lattice, task.measured, trained[rows], depth)
            for task, rows, depth in zip(self.tasks, self.seen, self.depths, strict=True)
        ]

    def parts(self, fitted: "list[Fitted]", options: Options) -> "list[Part]":
        """Join what was fitted to each section with its rows."""
        from .._training import Part

        return [
            Part(
                each,
                task.wanted,
                rows,
                measured_rows=task.placed.rows[task.measured],
                wanted_rows=task.placed.rows[task.wanted],
                errors=len(rows) >= FEWEST and options.errors and bool(task.wanted.any() or options.denoise),
                molecules=molecules if len(rows) >= FEWEST else None,
            )
            for each, task, rows, molecules in zip(fitted, self.tasks, self.seen, self.molecules, strict=True)
        ]


def _read_counts(
    adata: "AnnData", tasks: "list[Task]", layer: str | None, options: Options
) -> "tuple[list[NDArray[np.float64] | None], list[Molecules | None]]":
    """Return depths of the spots of each section, and the molecules behind their values where these are needed."""
    molecules: list[Molecules | None] = [None] * len(tasks)
    if options.denoise or options.total_counts == AUTO:
        molecules = [read_molecules(adata, task.here, layer=layer) for task in tasks]
    if options.denoise and not all(molecules):
        msg = (
            "denoise=True needs values that are counts, or counts scaled per spot (with or without log1p); found "
            "others, or too few genes of low counts to tell what one molecule is worth"
        )
        raise ValueError(msg)
    depths = [
        find_depth(adata, task.here, found, options.total_counts) for task, found in zip(tasks, molecules, strict=True)
    ]
    depths = [None if depth is None else depth[task.order] for depth, task in zip(depths, tasks, strict=True)]
    if not options.denoise:
        return depths, [None] * len(tasks)
    return depths, [found and found.at(task.order) for found, task in zip(molecules, tasks, strict=True)]
