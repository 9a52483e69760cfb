"""Training on sections: arrays in, fitted models out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from .._lattice import SectionOnLattice
from .._predict import StackingWeights, boxes
from .._progress import SILENT, Progress
from ..nn import CDCIN, CDCINConfig
from ._batches import Batches
from ._checkpoint import describe, read_checkpoint, read_pretrained
from ._config import TrainingConfig
from ._initial import N_MAPS
from ._layout import Images, choose_validation, join_terms, lay_out
from ._model import SectionModel, leave_out
from ._module import TrainingPlan
from ._quiet import quiet_lightning
from ._shrinkage import find_shrinkage
from ._trainer import train

__all__ = ["MIN_SPOTS", "fit"]

log = logging.getLogger(__name__)

WATCHED: Final = 16
"""Number of genes whose error at validation spots is recorded after every epoch."""
MAX_TRAINED, PIECE = 3000, 1500
"""Sections with more spots are trained on in pieces of at most 1500, with about 3000 spots in total."""
MIN_SPOTS: Final = 16
"""With fewer spots nothing is trained."""


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

    Parameters
    ----------
    sections
        With the values of the genes to train on; each lies alone in space.
    network, training
        Hyper-parameters. `context_channels` and `hexagonal` of the network are set to what the sections need.
    images
        Natural images to learn from besides the genes, or None.
    device
        Where to train and predict.
    rng
        Source of all randomness.
    progress
        Progress reporter.
    checkpoint
        File to write after every epoch, and to resume from if it exists.
    pretrained
        Checkpoint whose weights to start from.

    Returns
    -------
    One model for each section, all with the same network; without one if nothing is to be trained, no section has
    enough spots to train on, or none has unmeasured sites.
    """
    rng_validation, rng_scenes, rng_seeds, rng_folds = rng.spawn(4)
    seed, seeds = int(rng_folds.integers(2**31)), rng_seeds.integers(2**31, size=2).tolist()
    models = [
        SectionModel(section, training, device, seed, section.measured, stacking=StackingWeights())
        for section in sections
    ]
    large = [number for number, section in enumerate(sections) if len(section.values) >= MIN_SPOTS]
    anything = any(section.wanted.any() or section.unit is not None for section in sections)
    if not large or not sections[0].values.shape[1] or not anything:
        return models
    for number, child in zip(large, rng_validation.spawn(len(large)), strict=True):
        measured = sections[number].measured
        validation = choose_validation(measured, training.validation_fraction, child)
        models[number] = replace(models[number], known=measured & ~validation)
    run = None
    if training.max_epochs or pretrained is not None:
        config = _fitting(network, training, [sections[number] for number in large])
        run = Run.read([models[number] for number in large], config, seeds, checkpoint, pretrained)
    # The initial estimates that are validated do not use validation spots.
    progress.begin("initial estimates", len(large))
    for number in large:
        models[number] = progress.after(_estimated(models[number]))
    if run is None:
        return models
    trained = _train_network(run, [models[number] for number in large], images, rng_scenes, progress)
    return [replace(model, **trained) for model in models]


def _estimated(model: SectionModel) -> SectionModel:
    """Add the cross-validation and the stacking weights derived from it."""
    left_out = leave_out(model.section, model.known, model.training.initial, seed=model.seed)
    if model.training.initial == "stack":
        left_out.folds.stacking_weights(model.section.positions(model.known))
    return replace(model, left_out=left_out, stacking=left_out.folds.stacking)


@dataclass(frozen=True)
class Run:
    """What a network is trained on, and the files that the training reads and writes.

    Attributes
    ----------
    network
        Hyper-parameters.
    seeds
        Of the weights and of the batches.
    cuts
        Of every section, the sites of the pieces that are trained on.
    described
        Identifies the run.
    weights
        To start from.
    checkpoint, found
        Where to write after every epoch, and the checkpoint of an interrupted run.
    """

    network: CDCINConfig
    seeds: list[int]
    cuts: list[list[NDArray[np.bool_]]]
    described: dict[str, Any]
    weights: dict[str, torch.Tensor] | None
    checkpoint: str | PathLike[str] | None
    found: dict[str, Any] | None

    @classmethod
    def read(
        cls,
        models: list[SectionModel],
        network: CDCINConfig,
        seeds: list[int],
        checkpoint: str | PathLike[str] | None,
        pretrained: str | PathLike[str] | None,
    ) -> "Run":
        """Read the files, refusing those of other runs."""
        kinds = "+".join(model.section.lattice.kind.name for model in models)
        weights = None if pretrained is None else read_pretrained(pretrained, kinds, network)
        cuts = [_pieces(model.section) for model in models]
        arrays = (array for model, parts in zip(models, cuts, strict=True) for array in _arrays(model, parts))
        described = describe(kinds, network, models[0].training, seeds, *arrays)
        found = None if checkpoint is None else read_checkpoint(checkpoint, described)
        return cls(network, seeds, cuts, described, weights, checkpoint, found)


def _train_network(
    run: Run, models: list[SectionModel], images: Images | None, rng: np.random.Generator, progress: Progress
) -> dict[str, Any]:
    """Train one network on all sections; return it, its shrinkage factor and its history."""
    training, device = models[0].training, models[0].device
    parts = [(model, sites) for model, cut in zip(models, run.cuts, strict=True) for sites in cut]
    progress.begin("training data", len(parts))
    laid_out = [
        progress.after(lay_out(model.section.cut(sites), model.known[sites], model.stacking, training, images, child))
        for (model, sites), child in zip(parts, rng.spawn(len(parts)), strict=True)
    ]
    terms = join_terms([terms for terms, _ in laid_out])
    validation = [ways for _, ways in laid_out]
    with torch.random.fork_rng(devices=[]), quiet_lightning():
        # Of the CPU alone, where the network is built: the state of accelerators is not ours to change.
        torch.default_generator.manual_seed(run.seeds[0])
        cascade = CDCIN(run.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if run.weights is not None:
            cascade.load_state_dict(run.weights)
        plan = TrainingPlan(cascade, terms, training, run.described)
        if training.max_epochs:
            watched = [ways[0][0].each(lambda maps: maps[:WATCHED]) for ways in validation]
            data = Batches(terms, watched, training, run.seeds[1])
            train(plan, data, device=device, checkpoint=run.checkpoint, found=run.found, progress=progress)
    network = plan.network.to(device).eval()
    # The smaller of the factors that the two validation masks give.
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    shrinkage = min(find_shrinkage(network, of, training, device) for of in ways) if training.shrink else 1.0
    note = "" if shrinkage else ": the initial estimate is not corrected"
    log.info(
        "trained %d epochs; shrinkage factor of the network's correction %.2f%s", len(plan.history), shrinkage, note
    )
    return {"network": network, "shrinkage": shrinkage, "history": tuple(plan.history)}


def _arrays(model: SectionModel, cuts: list[NDArray[np.bool_]]) -> Iterator[NDArray[Any]]:
    """Training data of a section."""
    for sites in cuts:
        piece = model.section.cut(sites)
        yield from (piece.lattice.index, model.known[sites], piece.values)
        if piece.depth is not None:
            yield piece.depth


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
    hexagonal = any(section.lattice.kind.hexagonal for section in sections)
    return replace(network, hexagonal=hexagonal, context_channels=maps + int(network.mask_channel))
