"""Training on sections: arrays in, fitted models out."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .._calibration import explained
from .._lattice import SectionOnLattice
from .._predict import StackingWeights, boxes
from .._progress import SILENT, Progress
from ..nn import CDCIN, CDCINConfig
from ..nn._simulated import simulated_weights
from ._checkpoint import describe, read_checkpoint, read_pretrained
from ._config import TrainingConfig
from ._layout import Images, choose_validation, join_terms, lay_out, validation_maps
from ._lightning import Batches, TrainingPlan, train
from ._model import SectionModel, leave_out
from ._scenes import N_MAPS
from ._shrinkage import find_shrinkage

__all__ = ["MIN_SPOTS", "fit"]

log = logging.getLogger(__name__)

WATCHED: Final = 16  # number of genes whose error at validation spots is recorded after every epoch
MAX_TRAINED, PIECE = 3000, 1500
"""Sections with more spots are trained on in pieces of at most 1500, with about 3000 spots in total."""
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
    models = [
        SectionModel(section, training, device, seed, section.measured, stacking=StackingWeights())
        for section in sections
    ]
    large = [number for number, section in enumerate(sections) if len(section.values) >= MIN_SPOTS]
    anything = any(section.wanted.any() or section.denoised for section in sections)
    if not large or not sections[0].values.shape[1] or not anything:
        return models
    run, n_spots = None, sum(len(sections[number].values) for number in large)
    if pretrained is not None or (training.has_network and n_spots >= training.min_spots):
        if training.max_epochs:
            for number, child in zip(large, rng_validation.spawn(len(large)), strict=True):
                measured = sections[number].measured
                validation = choose_validation(measured, training.validation_fraction, child)
                models[number] = replace(models[number], known=measured & ~validation)
        run = _read_run([models[number] for number in large], network, seeds, checkpoint, pretrained)
    elif training.has_network:
        log.info("no network is used: %d spots are measured (at least %d)", n_spots, training.min_spots)
    # The initial estimates that are validated do not use validation spots.
    progress.begin("initial estimates", len(large))
    for number in large:
        models[number] = progress.after(_estimated(models[number]))
    if run is None:
        return models
    trained = _train_network(run, [models[number] for number in large], images, rng_scenes, progress)
    return [replace(model, **trained) for model in models]


def _estimated(model: SectionModel) -> SectionModel:
    """Add the cross-validation, and the stacking weights and explained variances derived from it."""
    left_out = leave_out(model.section, model.known, model.training.initial, seed=model.seed)
    truth, parts = model.section.values[left_out.chosen], left_out.folds.predict_parts()
    means = {name: float(np.nanmean(explained(truth, predicted))) for name, predicted in parts.items()}
    return replace(model, left_out=left_out, stacking=left_out.folds.stacking, explained=means)


class Run(NamedTuple):
    """What a network is trained on, and the files that the training reads and writes."""

    network: CDCINConfig
    seeds: list[int]  # of the weights and of the batches
    pieces: list[tuple[int, NDArray[np.bool_]]]  # number of a model, and sites of its section, trained on together
    described: dict[str, Any]  # identifies the run
    weights: dict[str, torch.Tensor] | None  # to start from
    checkpoint: str | PathLike[str] | None
    found: dict[str, Any] | None  # checkpoint of an interrupted run


def _read_run(
    models: list[SectionModel],
    network: CDCINConfig,
    seeds: list[int],
    checkpoint: str | PathLike[str] | None,
    pretrained: str | PathLike[str] | None,
) -> Run:
    """Read the files, refusing those of other runs."""
    training = models[0].training
    network = _fitting(network, training, [model.section for model in models])
    kinds = "+".join(model.section.lattice.kind.name for model in models)
    weights = None
    if pretrained is not None:
        weights = read_pretrained(pretrained, kinds, network)
    elif training.weights == "simulated":
        weights = simulated_weights(network)
    pieces = [(number, sites) for number, model in enumerate(models) for sites in _pieces(model.section)]
    arrays: list[NDArray[Any]] = []
    for number, sites in pieces:
        piece = models[number].section.cut(sites)
        arrays += [piece.lattice.index, models[number].known[sites], piece.values]
        arrays += [each for each in (piece.depth, piece.covariates) if each is not None]
    described = describe(kinds, network, training, seeds, *arrays)
    found = None if checkpoint is None else read_checkpoint(checkpoint, described)
    return Run(network, seeds, pieces, described, weights, checkpoint, found)


def _train_network(
    run: Run, models: list[SectionModel], images: Images | None, rng: np.random.Generator, progress: Progress
) -> dict[str, Any]:
    """Train one network on all sections; return it, its shrinkage factor and its history."""
    training, device = models[0].training, models[0].device
    progress.begin("training data" if training.max_epochs else "validation", len(run.pieces))
    laid_out, validation = [], []
    for (number, sites), child in zip(run.pieces, rng.spawn(len(run.pieces)), strict=True):
        model = models[number]
        section, known, (*rngs, rng_validated) = model.section.cut(sites), model.known[sites], child.spawn(4)
        if training.max_epochs:
            laid_out.append(lay_out(section, known, model.stacking, training, images, rngs))
        validation.append(progress.after(validation_maps(section, known, model.stacking, training, rng_validated)))
    with torch.random.fork_rng(devices=[]), quiet_lightning():
        # Of the CPU alone, where the network is built: the state of accelerators is not ours to change.
        torch.default_generator.manual_seed(run.seeds[0])
        cascade = CDCIN(run.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if run.weights is not None:
            cascade.load_state_dict(run.weights)
        history: tuple[dict[str, float], ...] = ()
        if training.max_epochs:
            terms = join_terms(laid_out)
            plan = TrainingPlan(cascade, terms, training, run.described)
            watched = [ways[0][0].each(lambda maps: maps[:WATCHED]) for ways in validation]
            data = Batches(terms, watched, training, run.seeds[1])
            train(plan, data, device=device, checkpoint=run.checkpoint, found=run.found, progress=progress)
            history = tuple(plan.history)
    network = cascade.to(device).eval()
    # The smaller of the factors that the two validation masks give.
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    shrinkage = min(find_shrinkage(network, of, training, device) for of in ways) if training.shrink else 1.0
    note = "" if shrinkage else ": the initial estimate is not corrected"
    log.info("network: %d epochs; factor of its correction %.2f%s", len(history), shrinkage, note)
    return {"network": network, "shrinkage": shrinkage, "history": history}


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


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Mute lightning's log and warnings, and turn its exit upon Ctrl-C back into a KeyboardInterrupt."""
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning")
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    on_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        if on_main_thread and handler is not None:
            signal.signal(signal.SIGINT, handler)
