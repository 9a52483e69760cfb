"""Training on sections: arrays in, fitted models out."""

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .._calibration import explained
from .._lattice import SectionOnLattice
from .._predict import StackingWeights, boxes, cross_validate
from .._progress import SILENT, Progress
from ..nn import CDCIN, CDCINConfig
from ..nn._simulated import simulated_weights
from ._checkpoint import describe, read_checkpoint, read_pretrained
from ._config import TrainingConfig
from ._layout import Images, choose_validation, join_terms, lay_out, validation_maps
from ._model import SectionModel
from ._scenes import N_MAPS, Batch
from ._shrinkage import Correction, find_shrinkage

if TYPE_CHECKING:
    from ._lightning import TrainingPlan

__all__ = ["MIN_SPOTS", "fit"]

log = logging.getLogger(__name__)

WATCHED: Final = 16  # number of genes whose error at validation spots is recorded after every epoch
MAX_TRAINED, PIECE = 3000, 1500
"""Sections with more spots are trained on in pieces of at most 1500, with about 3000 spots in total."""
LEAST_GAIN: Final = 0.003  # of the shipped network: training has not helped where its correction removes less
MIN_SPOTS: Final = 16  # of a section: no network learns from fewer, whatever `TrainingConfig.min_spots`


def fit(
    sections: Sequence[SectionOnLattice],
    *,
    network: CDCINConfig,
    training: TrainingConfig,
    images: Images | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: Progress = SILENT,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: str | PathLike[str] | None = None,
) -> list[SectionModel]:
    """Train one network on all sections; see :func:`s2s_scverse.tl.impute`.

    The sections have the values of the genes to train on. `context_channels` and `hexagonal` of the network are set to
    what they need. A `checkpoint` is written after every epoch, and resumed from if it exists; training starts from
    the weights of the checkpoint `pretrained`.

    Returns one model for each section, all with the same network; without one if nothing is to be trained, sections
    have too few spots to train on, or none has unmeasured sites.
    """
    rng_validation, rng_scenes, rng_seeds, rng_folds = rng.spawn(4)
    seed, seeds = int(rng_folds.integers(2**31)), rng_seeds.integers(2**31, size=2).tolist()
    models = [SectionModel(section, training, device, seed, stacking=StackingWeights()) for section in sections]
    large = [number for number, section in enumerate(sections) if len(section.values) >= MIN_SPOTS]
    anything = any(section.wanted.any() or section.denoised for section in sections)
    if not large or not sections[0].values.shape[1] or not anything:
        return models
    run, n_spots = None, sum(len(sections[number].values) for number in large)
    if pretrained is not None or (training.has_network and n_spots >= training.min_spots):
        aside = [
            choose_validation(sections[number].measured, training.validation_fraction, child)
            for number, child in zip(large, rng_validation.spawn(len(large)), strict=True)
        ]
        run = _read_run([models[number] for number in large], aside, network, seeds, checkpoint, pretrained)
    elif training.has_network:
        log.info("no network is used: %d spots are measured, %d are needed", n_spots, training.min_spots)
    progress.begin("initial estimates", len(large))
    for number in large:
        models[number] = progress.after(_estimated(models[number]))
    if run is None:
        return models
    trained = _train_network(run, [models[number] for number in large], images, rng_scenes, progress)
    return [replace(model, **trained) for model in models]


def _estimated(model: SectionModel) -> SectionModel:
    """Add the cross-validation, and the stacking weights and explained variances derived from it."""
    section = model.section
    folds = cross_validate(section, model.training.initial, section.measured, seed=model.seed)
    truth, parts = section.values[folds.chosen], folds.predict_parts()
    means = {name: float(np.nanmean(explained(truth, predicted))) for name, predicted in parts.items()}
    return replace(model, folds=folds, stacking=folds.stacking, explained=means)


class Piece(NamedTuple):
    """Part of a section that is trained on together."""

    number: int  # of a model
    section: SectionOnLattice
    known: NDArray[np.bool_]  # (n_sites,) the spots that are not used for validation


class Run(NamedTuple):
    """Data that a network is trained on, and the files that the training reads and writes."""

    network: CDCINConfig
    seeds: list[int]  # of the weights and of the batches
    pieces: list[Piece]
    described: dict[str, Any]  # identifies the run
    weights: dict[str, torch.Tensor] | None  # to start from
    shipped: bool  # whether these are the ones that ship with the package
    checkpoint: str | PathLike[str] | None
    found: dict[str, Any] | None  # checkpoint of an interrupted run


def _read_run(
    models: list[SectionModel],
    aside: list[NDArray[np.bool_]],
    network: CDCINConfig,
    seeds: list[int],
    checkpoint: str | PathLike[str] | None,
    pretrained: str | PathLike[str] | None,
) -> Run:
    """Read the files, refusing those of other runs; `aside` (n_sites,) are the validation spots of each model."""
    training = models[0].training
    network = _fitting(network, training, [model.section for model in models])
    kinds = "+".join(model.section.lattice.kind.name for model in models)
    weights, shipped = None, pretrained is None and training.weights == "simulated"
    if pretrained is not None:
        weights = read_pretrained(pretrained, kinds, network)
    elif shipped:
        weights = simulated_weights(network)
    pieces = [
        Piece(number, model.section.cut(sites), (model.section.measured & ~held)[sites])
        for number, (model, held) in enumerate(zip(models, aside, strict=True))
        for sites in _pieces(model.section)
    ]
    arrays: list[NDArray[Any]] = []
    for _, section, known in pieces:
        arrays += [section.lattice.index, known, section.values]
        arrays += [each for each in (section.depth, section.covariates) if each is not None]
    described = describe(kinds, network, training, seeds, *arrays)
    found = None if checkpoint is None else read_checkpoint(checkpoint, described)
    return Run(network, seeds, pieces, described, weights, shipped, checkpoint, found)


def _train_network(
    run: Run, models: list[SectionModel], images: Images | None, rng: np.random.Generator, progress: Progress
) -> dict[str, Any]:
    """Return a network for all sections, its shrinkage factor and its history.

    The shipped network is validated first, and is not trained where it does not help. It is used if it reduces the
    error of the initial estimate more than the trained one.
    """
    training, device = models[0].training, models[0].device
    rng_look, rng_training = rng.spawn(2)
    with torch.random.fork_rng(devices=[]):
        # Only the CPU's random state is used and restored; that of accelerators stays as it is.
        torch.default_generator.manual_seed(run.seeds[0])
        network = CDCIN(run.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if run.weights is not None:
        network.load_state_dict(run.weights)
    look = (run.shipped and training.shrink) or not training.max_epochs
    network = network.to(device).eval()
    correction = Correction(0.0, 1.0)
    history: tuple[dict[str, float], ...] = ()
    if look:
        progress.begin("validation", len(run.pieces))
        validation = []
        for (number, section, _), child in zip(run.pieces, rng_look.spawn(len(run.pieces)), strict=True):
            maps = validation_maps(section, section.measured, models[number].stacking, training, child)
            validation.append(progress.after(maps))
        correction = _validated(network, validation, training, device)
    if training.max_epochs and not (look and correction.gain < LEAST_GAIN):
        plan, before, after = _trained(deepcopy(network), run, models, images, rng_training, progress)
        history = tuple(plan.history)
        if not look or after.gain > before.gain:
            network, correction = plan.network.to(device).eval(), after
    factor, note = correction.factor, "" if correction.factor else ": the initial estimate is not corrected"
    trained = f"trained for {len(history)} epochs" if history else "not trained on this section"
    log.info("network: %s; shrinkage factor of its correction %.2f%s", trained, factor, note)
    return {"network": network, "shrinkage": factor, "history": history}


def _trained(
    network: CDCIN,
    run: Run,
    models: list[SectionModel],
    images: Images | None,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple["TrainingPlan", Correction, Correction]:
    """Train a network on all sections; return the plan, and corrections at validation spots before and after."""
    # Lightning takes seconds to import.
    from ._lightning import Batches, TrainingPlan, train

    training, device = models[0].training, models[0].device
    progress.begin("training data", len(run.pieces))
    laid_out, validation = [], []
    for (number, section, known), child in zip(run.pieces, rng.spawn(len(run.pieces)), strict=True):
        stacking, (*rngs, rng_validated) = models[number].stacking, child.spawn(4)
        laid_out.append(lay_out(section, known, stacking, training, images, rngs))
        validation.append(progress.after(validation_maps(section, known, stacking, training, rng_validated)))
    before = _validated(network.eval(), validation, training, device)
    terms = join_terms(laid_out)
    watched = [ways[0][0].each(lambda maps: maps[:WATCHED]) for ways in validation]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seeds[0])
        plan = TrainingPlan(network.train(), terms, training, run.described)
        data = Batches(terms, watched, training, run.seeds[1])
        train(plan, data, device=device, checkpoint=run.checkpoint, found=run.found, progress=progress)
    return plan, before, _validated(network.to(device).eval(), validation, training, device)


def _validated(
    network: CDCIN, validation: list[list[list[Batch]]], training: TrainingConfig, device: torch.device
) -> Correction:
    """Return the smaller of the corrections that the kinds of validation masks of all pieces give."""
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    gains, factors = zip(*(find_shrinkage(network, of, training, device) for of in ways), strict=True)
    return Correction(min(gains), min(factors) if training.shrink else 1.0)


def _pieces(section: SectionOnLattice) -> list[NDArray[np.bool_]]:
    """All sites, or of a large section some pieces spread over it with about `MAX_TRAINED` spots in all, (n_sites,)."""
    n = len(section.values)
    if n <= MAX_TRAINED:
        return [np.ones(len(section.lattice), bool)]
    at = section.lattice.unit_coordinates
    parts = boxes(at[section.measured], PIECE)
    wanted = np.linspace(0, len(parts) - 1, max(1, round(len(parts) * MAX_TRAINED / n))).round().astype(int)
    return [np.all((at >= low) & (at < high), axis=1) for low, high, _ in (parts[i] for i in np.unique(wanted))]


def _fitting(network: CDCINConfig, training: TrainingConfig, sections: Sequence[SectionOnLattice]) -> CDCINConfig:
    """Set the fields of a network that depend on the sections and its inputs."""
    maps = N_MAPS[training.initial] if training.show_maps else 0
    # Shipped weights are of a network for all lattices.
    hexagonal = training.weights == "simulated" or any(section.lattice.kind.hexagonal for section in sections)
    return replace(network, hexagonal=hexagonal, context_channels=maps + int(network.mask_channel))
