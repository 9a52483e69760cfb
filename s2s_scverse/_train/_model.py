"""A fitted model of one section: predictors, network, shrinkage factor and error model."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch

from .._calibration import (
    FEWEST,
    GAIN_GENES,
    Calibration,
    Pool,
    denoise,
    explained,
    gain,
    nearer_and_farther,
)
from .._checks import as_dense
from .._keys import COVARIATE_GAIN, RELIABILITY
from .._lattice import SectionOnLattice
from .._predict import (
    MAX_CROSS_VALIDATED,
    CrossValidation,
    PCAKriging,
    Predictor,
    Stack,
    StackingWeights,
    fit_section,
)
from .._predict._arrays import Bool, Float32, Float64, Index, Int
from .._predict._threads import parallel, thread_count
from .._scores import mean_over_sections, pearson
from .._uncertainty import Growth, growth_slope
from ..nn import CDCIN
from ._apply import cells_per_batch, predict_sites, whole_section
from ._config import TrainingConfig
from ._scenes import Scale

SMALLEST_PIECE, VALUES_PER_PIECE = 64, 2**22  # genes, and values of their maps, predicted at a time
CORRECTED = 32  # genes corrected by the network at a time
MOST_SITES = 2**16  # of a section whose genes are predicted in several threads
LEAST_CORRELATION = 0.15  # of cross-validated predictions with the values of a gene that the network corrects


@dataclass(frozen=True)
class Block:
    """Results for a block of genes, of the sites of a section or of all observations; NaN at sites not predicted."""

    values: Float32  # (n, n_genes), measured or denoised at spots; not negative if no measured value is
    std: Float32 | None  # (n, n_genes) standard deviation of the error; None where no errors are estimated
    by_gene: dict[str, Float64] = field(default_factory=dict)  # key of var -> (n_genes,)

    @classmethod
    def empty(cls, n: int, n_genes: int, *, std: bool) -> "Block":
        """A block without predictions."""
        values = np.full((n, n_genes), np.nan, np.float32)
        return cls(values, np.full_like(values, np.nan) if std else None)


@dataclass(frozen=True, eq=False)
class SectionModel:
    """Everything that predicts any gene of a section from its measured spots."""

    section: SectionOnLattice  # with the genes that it is fitted to
    training: TrainingConfig
    device: torch.device
    seed: int  # of the cross-validation folds
    network: CDCIN | None = None  # None if only the initial estimate is used
    shrinkage: float = 0.0  # factor of the network's correction, 0 to 1
    stacking: StackingWeights | None = None
    folds: CrossValidation | None = None  # of the initial estimate, if it has been computed
    errors: Pool | None = None  # error statistics pooled over genes; None where no errors are estimated
    history: tuple[dict[str, float], ...] = ()  # one row per epoch
    explained: dict[str, float] = field(default_factory=dict)  # part of the variance that parts of the stack explain

    def __getstate__(self) -> dict[str, Any]:
        # Where it is unpickled there may be no such device. What is derived is quicker computed again than sent.
        state = {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}
        return state | {"network": self.network and deepcopy(self.network).cpu(), "folds": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = state["device"] if state["device"].type == "cpu" else find_device("auto")
        network = state["network"] and state["network"].to(device)
        self.__dict__.update(state | {"device": device, "network": network})

    def with_errors(self) -> "SectionModel":
        """Add an error model, estimated from the genes that the model was fitted to, if spots and sites suffice."""
        section, values = self.section, self.section.values
        if len(values) < FEWEST or not (section.wanted.any() or section.denoised):
            return self
        folds = self._cross_validation
        predicted = _bounded(folds.predict_informative(), values)
        errors = Pool.fit(values[folds.chosen], predicted, *self._gain(), folds=folds.fold[folds.chosen])
        if self._apart[1].any():
            errors = replace(errors, growth=growth_slope(self._components, values))
        model = replace(self, folds=folds, errors=errors)
        model.__dict__["_predictor"] = self._predictor  # fitted once
        return model

    def predict(self, values: Float32) -> Block:
        """Predict genes, (n_measured, n_genes), at the sites of the section."""
        n = len(self.section.rows)
        block = Block.empty(n, values.shape[1], std=self.errors is not None)
        return replace(block, by_gene=self.predict_into(block, np.arange(n), values))

    def predict_into(self, block: Block, rows: Int, values: Float32) -> dict[str, Float64]:
        """Predict genes, (n_measured, n_genes), in pieces, into the `rows` (n_sites,) of a block.

        Returns what is known of each gene: key of var -> (n_genes,).
        """
        section, by_gene = self.section, dict[str, Float64]()
        block.values[rows[section.measured]] = values
        if block.std is not None:
            block.std[rows[section.measured]] = 0
        if not (section.wanted.any() or section.denoised):
            return by_gene
        # Each piece computes the correlations between sites and spots again, so larger ones are faster.
        size = max(SMALLEST_PIECE, VALUES_PER_PIECE // len(rows))
        n = max(1, -(-values.shape[1] // size))
        # Similar genes, which take as long, often follow each other.
        pieces = [slice(number, None, n) for number in range(n)]

        def alone(piece: slice) -> None:
            torch.set_num_threads(1)
            self._predict(values, block, rows, by_gene, piece)

        # Maps of whole sections dominate memory, so none of the largest are predicted side by side.
        if self.device.type == "cpu" and n >= thread_count() > 1 and len(section.rows) <= MOST_SITES:
            self._prepare()
            threads = torch.get_num_threads()
            try:
                parallel(alone, pieces)
            finally:
                torch.set_num_threads(threads)
        else:
            for piece in pieces:
                self._predict(values, block, rows, by_gene, piece)
        return by_gene

    def _predict(self, values: Float32, block: Block, rows: Int, by_gene: dict[str, Float64], piece: slice) -> None:
        """Predict a piece of the genes `values` (n_measured, n_genes)."""
        values, section, numbers = values[:, piece], self.section, {}
        settings = self._predictor.tune(values)
        maps = self._predictor.maps(values, settings)
        sites = maps[0] if self._network is None else maps[0][section.wanted]
        if self._validates:
            folds = self._cross_validation
            truth = values[folds.chosen]
            if self.errors is None or self.stacking is None or self.stacking.unguided is None:
                predicted = _bounded(folds.predict(values, settings), values)
            else:
                predicted, plain = (_bounded(each, values) for each in folds.predict_twice(values, settings))
                numbers[COVARIATE_GAIN] = explained(truth, predicted) - explained(truth, plain)
        if self._network is not None:
            genes = np.arange(values.shape[1])
            if self.training.shrink and self._validates:
                genes = np.flatnonzero(pearson(truth, predicted) >= LEAST_CORRELATION)
            sites[:, genes] = self._corrected(self._network, values, maps, genes)
        sites = _bounded(sites, values)
        block.values[rows[section.wanted], piece] = sites
        if self.errors is None:
            return
        known = Calibration.fit(truth, predicted, self.errors, folds=folds.fold[folds.chosen])
        if section.unit is not None:
            denoised, std = denoise(values, predicted, section.unit, known, logged=section.logged)
            block.values[rows[section.measured], piece] = denoised
            if block.std is not None:
                block.std[rows[section.measured], piece] = std
        if block.std is None:
            return
        growth = self.errors.growth / np.maximum(known.errors.variance, 1e-12)
        relative = self._growth.relative(self._components.loadings(values), known.near, growth)
        block.std[rows[section.wanted], piece] = known.std(sites) * np.sqrt(relative)
        for key, score in (numbers | {RELIABILITY: known.reliability}).items():
            by_gene.setdefault(key, np.empty(block.values.shape[1]))[piece] = score

    @property
    def _validates(self) -> bool:
        """Whether every gene is cross-validated: for its errors, or to decide whether the network corrects it."""
        shrunken = self._network is not None and self.training.shrink and len(self.section.values) >= FEWEST
        return self.errors is not None or shrunken

    def _prepare(self) -> None:
        """Fit what all genes share, before several threads need it."""
        _ = self._predictor, self._validates and self._cross_validation, self.errors and self._growth

    @cached_property
    def _network(self) -> CDCIN | None:
        """Own copy, since the network is changed for lattices of another kind."""
        return deepcopy(self.network) if self.shrinkage and self.section.wanted.any() else None

    @cached_property
    def _shown(self) -> Bool:
        """Sites of the predictor, (n_sites,)."""
        return self.section.wanted if self._network is None else np.ones(len(self.section.rows), bool)

    @cached_property
    def _predictor(self) -> Predictor:
        """Predictor of the initial estimate; at all sites if there is a network."""
        return fit_section(self.section, self.training.initial, self._shown, self.stacking)

    @cached_property
    def _cross_validation(self) -> CrossValidation:
        """Cross-validation of the initial estimate; of all spots if they are denoised."""
        section = self.section
        limit = max(MAX_CROSS_VALIDATED, len(section.values)) if section.denoised else MAX_CROSS_VALIDATED
        if self.folds is not None and limit == MAX_CROSS_VALIDATED:
            return self.folds
        return CrossValidation(section, self.training.initial, stacking=self.stacking, limit=limit, seed=self.seed)

    @cached_property
    def _components(self) -> PCAKriging:
        """Kriged components, at the sites of the predictor."""
        if isinstance(self._predictor, Stack):
            return self._predictor.components
        found = fit_section(self.section, "pca_kriging", self._shown, None)
        return cast("PCAKriging", found)

    @cached_property
    def _apart(self) -> tuple[Bool, Bool]:
        """Which of the wanted sites are nearer to spots, and which farther, than cross-validated spots, (n_wanted,)."""
        section = self.section
        distance = section.lattice.distance_to(section.measured)[section.wanted]
        return nearer_and_farther(self._cross_validation.distance, distance)

    @cached_property
    def _growth(self) -> Growth:
        """How errors depend on the distance of the wanted sites from spots."""
        wanted, near = self.section.wanted, np.zeros(len(self.section.rows), bool)
        near[wanted] = self._apart[0]
        growth = Growth.fit(self._components, self._cross_validation.fold, near[self._shown])
        return replace(growth, sites=growth.sites[wanted[self._shown]])

    def _gain(self) -> tuple[float, float]:
        """Spread of initial estimates at the wanted sites over that in cross-validation; see :func:`gain`."""
        section, folds = self.section, self._cross_validation
        if not section.wanted.any():
            return 1.0, 1.0
        values = section.values[:, :GAIN_GENES]
        settings = self._predictor.tune(values)
        maps = self._predictor.maps(values, settings)[0]
        shown = maps if self._network is None else maps[section.wanted]
        distance = section.lattice.distance_to(section.measured)[section.wanted]
        predicted = folds.predict(values, settings)
        return gain(predicted, folds.distance, shown, distance)

    def _corrected(self, network: CDCIN, values: Float32, maps: list[Float32], genes: Index) -> Float32:
        """Add the network's correction to the initial estimate of some genes, (n_wanted, n_chosen).

        The initial estimate is unbiased by construction, so a shrunken correction may not change its mean.
        """
        section, training = self.section, self.training
        position, cells = torch.from_numpy(section.lattice.position), cells_per_batch(training, self.device)
        unmeasured, sites = torch.from_numpy(~section.measured), torch.from_numpy(np.flatnonzero(section.wanted))
        found = np.empty((len(sites), len(genes)), np.float32)
        for start in range(0, len(genes), CORRECTED):
            piece = genes[start : start + CORRECTED]
            shown = values[:, piece]
            scale = Scale.of(shown, training.gene_scale)
            standard = np.stack([scale.apply(each[:, piece]).T for each in maps])
            parts = []
            for batch in whole_section(section.lattice, section.measured, scale.apply(shown), standard, cells):
                estimate = batch.start.flatten(1)[:, position]
                correction = predict_sites(network, batch, position, training, self.device) - estimate
                if training.shrink:
                    correction -= correction[:, unmeasured].mean(dim=1, keepdim=True)
                parts.append((estimate + self.shrinkage * correction)[:, sites])
            found[:, start : start + CORRECTED] = scale.undo(torch.cat(parts).numpy().T)
        return found


def _bounded(predicted: Float32, measured: Float32) -> Float32:
    """Clip genes at 0 if none of their measured values, (n_measured, n_genes), is negative."""
    return np.maximum(predicted, np.where(measured.min(axis=0) >= 0, np.float32(0), np.float32(-np.inf)))


def predict_block(
    models: Sequence[SectionModel], rows: Sequence[Int], n_obs: int, values: Any, *, uncertainty: bool
) -> Block:
    """Predict a block of genes in all sections, with all their sites, from a matrix (n_all_measured, n_genes).

    `rows` are the spots of each section in the matrix. Genes that are not finite are predicted as 0. Standard
    deviations and numbers of genes are given if there is to be `uncertainty`.
    """
    values = as_dense(values)
    values = np.where(np.isfinite(values).all(axis=0), values, np.float32(0))
    block = Block.empty(n_obs, values.shape[1], std=uncertainty and any(model.errors for model in models))
    by_section: dict[str, list[tuple[Float64, int]]] = {}
    for model, seen in zip(models, rows, strict=True):
        section = model.section
        for key, score in model.predict_into(block, section.rows, values[seen]).items():
            by_section.setdefault(key, []).append((score, max(1, int(section.wanted.sum()))))
    return replace(block, by_gene={key: mean_over_sections(*zip(*of, strict=True)) for key, of in by_section.items()})


def model_arrays(models: Sequence[SectionModel]) -> dict[str, Any]:
    """Return what was fitted, except the data, the shrinkage factor and the history, as an AnnData can hold it."""
    found: dict[str, Any] = {"sections": {}}
    for number, model in enumerate(models):
        stacking, section = model.stacking or StackingWeights(), model.section
        found["sections"][str(number)] = entry = {
            "name": str(section.name),
            "spots": section.digest(),
            "seed": model.seed,
            "stacking": np.array(stacking.members),
            "far": stacking.far,
        }
        if stacking.unguided is not None:
            entry["unguided"] = np.array(stacking.unguided)
        if model.errors is not None:
            entry["errors"] = asdict(model.errors)
    if (network := models[0].network) is not None:
        found["network"] = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    return found


def find_device(name: str | torch.device) -> torch.device:
    """Return the available device of a name."""
    if not isinstance(name, str | torch.device):
        msg = f"device must be 'auto' or a torch device, found {name!r} ({type(name).__name__})"
        raise TypeError(msg)
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        torch.empty(0, device=name).cpu()
    except (AssertionError, ImportError, RuntimeError):
        msg = f"device must be 'auto' or an available torch device, found {name!r}"
        raise ValueError(msg) from None
    return torch.device(name)
