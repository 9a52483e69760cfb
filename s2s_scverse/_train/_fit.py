"""Training on sections: arrays in, fitted models out."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from .._calibration import explained
from .._lattice import SectionOnLattice
from .._predict import CrossValidation, StackingWeights, boxes
from .._predict._arrays import Bool
from .._progress import SILENT, Progress
from ..nn import CDCIN, CDCINConfig
from ..nn._cdcin import simulated_weights
from ._apply import whole_maps
from ._checkpoint import describe, read_checkpoint
from ._config import MIN_SPOTS, TrainingConfig
from ._layout import Images, choose_validation, lay_out, sampled_masks, section_scene
from ._model import SectionModel
from ._scenes import N_MAPS, Batch, Masks, Scene, Term
from ._shrinkage import Correction, find_shrinkage

if TYPE_CHECKING:
    from ._lightning import TrainingPlan

log = logging.getLogger(__name__)

MAX_VALIDATED: Final = 64  # number of genes to validate with
WATCHED: Final = 16  # number of genes whose error at validation spots is recorded after every epoch
MAX_TRAINED, PIECE = 3000, 1500
"""Sections with more spots are trained on in pieces of at most 1500, with about 3000 spots in total."""
LEAST_GAIN: Final = 0.003  # of the shipped network: training has not helped where its correction removes less


def fit(
    sections: Sequence[SectionOnLattice],
    *,
    network_config: CDCINConfig,
    training: TrainingConfig,
    images: Images | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: Progress = SILENT,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: str | PathLike[str] | None = None,
) -> list[SectionModel]:
    """Cross-validate the initial estimate of every section, and train one network on all of them.

    See :func:`s2s_scverse.tl.impute`. The sections have the values of their most variable genes. `context_channels` and
    `hexagonal` of the network are set to what they need. A `checkpoint` is written after every epoch, and resumed from
    if it exists; training starts from the weights of the checkpoint `pretrained`.

    Returns one model for each section, all with the same network; without one if the preset has none or sections have
    too few spots, and without anything fitted if there are no unmeasured sites.
    """
    rng_validation, rng_scenes, rng_seeds, rng_folds = rng.spawn(4)
    seed, seeds = int(rng_folds.integers(2**31)), rng_seeds.integers(2**31, size=2).tolist()
    models = [SectionModel(section, training, device, seed, stacking=StackingWeights()) for section in sections]
    large = [number for number, section in enumerate(sections) if len(section.values) >= MIN_SPOTS]
    anything = any(section.wanted.any() or section.denoised for section in sections)
    if not large or not sections[0].values.shape[1] or not anything:
        return models
    network, n_spots = None, sum(len(sections[number].values) for number in large)
    if pretrained is not None or (training.has_network and n_spots >= training.min_spots):
        validation = [
            choose_validation(sections[number].measured, training.validation_fraction, child)
            for number, child in zip(large, rng_validation.spawn(len(large)), strict=True)
        ]
        of_large = [models[number] for number in large]
        network = NetworkTraining(of_large, validation, network_config, seeds, checkpoint, pretrained)
    elif training.has_network:
        log.info("no network is used: %d spots are measured, %d are needed", n_spots, training.min_spots)
    progress.begin("initial estimates", len(large))
    for number in large:
        models[number] = progress.after(_estimated(models[number]))
    if network is None:
        return models
    trained = network.run([models[number] for number in large], images, rng_scenes, progress)
    return [replace(model, **trained) for model in models]


def _estimated(model: SectionModel) -> SectionModel:
    """Add the cross-validation, and the stacking weights and explained variances derived from it."""
    section = model.section
    folds = CrossValidation(section, model.training.initial, seed=model.seed)
    truth, parts = section.values[folds.chosen], folds.predict_parts()
    means = {name: float(np.nanmean(explained(truth, predicted))) for name, predicted in parts.items()}
    return replace(model, folds=folds, stacking=folds.stacking, explained=means)


class NetworkTraining:
    """Training of one network on the pieces of all sections; `validation` (n_sites,) are validation spots of a model.

    Files of other runs are refused.
    """

    def __init__(
        self,
        models: list[SectionModel],
        validation: list[Bool],
        network_config: CDCINConfig,
        seeds: list[int],
        checkpoint: str | PathLike[str] | None,
        pretrained: str | PathLike[str] | None,
    ) -> None:
        training = models[0].training
        self.training, self.device, self.seeds, self.checkpoint = training, models[0].device, seeds, checkpoint
        self.config = _fitting(network_config, training, [model.section for model in models])
        kinds = "+".join(model.section.lattice.kind.name for model in models)
        self.weights, self.shipped = None, pretrained is None and training.weights == "simulated"
        if pretrained is not None:
            self.weights = read_checkpoint(pretrained, {"network": asdict(self.config)})["weights"]
        elif self.shipped:
            self.weights = simulated_weights(self.config)
        # Parts of sections that are trained on together: number of the section, its part, and the training spots of it.
        self.pieces = [
            (number, model.section.cut(sites), (model.section.measured & ~held)[sites])
            for number, (model, held) in enumerate(zip(models, validation, strict=True))
            for sites in _pieces(model.section)
        ]
        arrays: list[Any] = []
        for _, section, known in self.pieces:
            arrays += [section.lattice.index, known, section.values]
            arrays += [each for each in (section.depth, section.covariates) if each is not None]
        self.identity = describe(kinds, self.config, training, seeds, *arrays)
        self.found = None
        if checkpoint is not None and Path(checkpoint).exists():
            self.found = read_checkpoint(checkpoint, self.identity)

    def run(
        self, models: list[SectionModel], images: Images | None, rng: np.random.Generator, progress: Progress
    ) -> dict[str, Any]:
        """Return a network for all sections, its shrinkage factor and its history.

        The shipped network is validated first, and is not trained where it does not help. It is used if it reduces the
        error of the initial estimate more than the trained one.
        """
        training = self.training
        rng_look, rng_training = rng.spawn(2)
        with self._seeded():
            network = CDCIN(self.config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.weights is not None:
            network.load_state_dict(self.weights)
        look = (self.shipped and training.shrink) or not training.max_epochs
        network = network.to(self.device).eval()
        correction, trained = Correction(-np.inf, 0.0), "not trained on this section"
        history: tuple[dict[str, float], ...] = ()
        progress.begin("validation", len(self.pieces))
        samples = []
        for (number, section, _), child in zip(self.pieces, rng_look.spawn(len(self.pieces)), strict=True):
            masks = sampled_masks(section.lattice, section.measured, child)
            chosen, stacking = child.permutation(section.values.shape[1])[:MAX_VALIDATED], models[number].stacking
            samples.append(progress.after(section_scene(section, section.measured, masks, stacking, training, chosen)))
        if look:
            validation = [[list(whole_maps(scene, 1 - scene.visible))] for scene in samples]
            correction = _validated(network, validation, training, self.device)
        if training.max_epochs and not (look and correction.gain < LEAST_GAIN):
            plan, after, before = self._trained(
                deepcopy(network), models, samples, images, rng_training, progress, compare=look
            )
            history = tuple(plan.history)
            trained = f"trained for {len(history)} epochs"
            if after.gain > before:
                network, correction = plan.network.eval(), after
            else:
                trained += " and used as shipped, which is better"
        factor, note = correction.factor, "" if correction.factor else ": the initial estimate is not corrected"
        log.info("network: %s; shrinkage factor of its correction %.2f%s", trained, factor, note)
        return {"network": network, "shrinkage": factor, "history": history}

    def _trained(
        self,
        network: CDCIN,
        models: list[SectionModel],
        samples: list[Scene],
        images: Images | None,
        rng: np.random.Generator,
        progress: Progress,
        *,
        compare: bool,
    ) -> tuple["TrainingPlan", Correction, float]:
        """Train a network; return the plan, its correction, and the gain before (-inf: not compared).

        As holes in the lattice of spots, validation spots are farther from visible spots than almost any unmeasured
        site; outside `samples`, they are as far as unmeasured sites on twice the scale.
        """
        # Lightning takes seconds to import.
        from ._lightning import TrainingPlan, train

        training, device = self.training, self.device
        progress.begin("training data", len(self.pieces))
        terms: dict[str, Term] = {}
        validation = []
        for (number, section, known), sampled, child in zip(
            self.pieces, samples, rng.spawn(len(self.pieces)), strict=True
        ):
            stacking, (*rngs, rng_validated, rng_genes) = models[number].stacking, child.spawn(5)
            lay_out(terms, section, known, stacking, training, images, [*rngs, rng_genes])
            held = section.measured & ~known
            masks = Masks(section.lattice, section.measured, known[None])
            chosen = rng_validated.permutation(section.values.shape[1])[:MAX_VALIDATED]
            holes = section_scene(section, section.measured, masks, stacking, training, chosen)
            between = (1 - sampled.visible) * torch.from_numpy(held[section.measured])
            ways = [list(whole_maps(holes, torch.from_numpy(held[None]))), list(whole_maps(sampled, between))]
            validation.append(progress.after([way for way in ways if way]))
        before = _validated(network, validation, training, device).gain if compare else -np.inf
        watched = [
            batch.each(lambda maps: maps[:WATCHED])
            for batches, *_ in validation
            for batch in batches[: -(-WATCHED // len(batches[0].start))]
        ]
        with self._seeded():
            plan = TrainingPlan(network.train(), terms, watched, training, self.identity, self.seeds[1])
            train(plan, device=device, checkpoint=self.checkpoint, found=self.found, progress=progress)
        return plan, _validated(network.to(device).eval(), validation, training, device), before

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Seed torch, and restore the CPU's random state; that of accelerators is not touched."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seeds[0])
            yield


def _validated(
    network: CDCIN, validation: list[list[list[Batch]]], training: TrainingConfig, device: torch.device
) -> Correction:
    """Return the smaller of the corrections that the kinds of validation masks of all pieces give."""
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    gains, factors = zip(*(find_shrinkage(network, of, training, device) for of in ways), strict=True)
    return Correction(min(gains), min(factors) if training.shrink else 1.0)


def _pieces(section: SectionOnLattice) -> list[Bool]:
    """All sites, or of a large section some pieces spread over it with about `MAX_TRAINED` spots in all, (n_sites,)."""
    n = len(section.values)
    if n <= MAX_TRAINED:
        return [np.ones(len(section.lattice), bool)]
    at = section.lattice.unit_coordinates
    parts = boxes(at[section.measured], PIECE)
    wanted = np.linspace(0, len(parts) - 1, max(1, round(len(parts) * MAX_TRAINED / n))).round().astype(int)
    return [np.all((at >= low) & (at < high), axis=1) for low, high, _ in (parts[i] for i in np.unique(wanted))]


def _fitting(config: CDCINConfig, training: TrainingConfig, sections: Sequence[SectionOnLattice]) -> CDCINConfig:
    """Set the fields of a network that depend on the sections and its inputs."""
    maps = N_MAPS[training.initial] if training.show_maps else 0
    # Shipped weights are of a network for all lattices.
    hexagonal = training.weights == "simulated" or any(section.lattice.kind.hexagonal for section in sections)
    return replace(config, hexagonal=hexagonal, context_channels=maps + int(config.mask_channel))
