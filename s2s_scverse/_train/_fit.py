"""Training on sections: arrays in, fitted models out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
"""Genes whose error at validation spots is recorded after every epoch."""
MAX_TRAINED, PIECE = 3000, 1500
"""Of a section with more spots, pieces of at most 1500 with about 3000 spots in all are trained on."""
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
    One model for each section, all with the same network; without one if no section has enough spots to train on, or
    none has unmeasured sites.
    """
    enough = [len(section.values) >= MIN_SPOTS for section in sections]
    large = [section for section, use in zip(sections, enough, strict=True) if use]
    rng_validation, rng_scenes, rng_seeds, rng_folds = rng.spawn(4)
    fold_seed = int(rng_folds.integers(2**31))
    untrained = [
        SectionModel(section, training, device, fold_seed, section.measured, stacking=StackingWeights())
        for section in sections
    ]
    anything = any(section.wanted.any() or section.unit is not None for section in sections)
    if not large or not large[0].values.shape[1] or not anything:
        return untrained
    if not training.max_epochs and pretrained is None:
        progress.begin("stacking", len(sections))
        return [
            progress.after(_stacked(model) if len(model.section.values) >= MIN_SPOTS else model) for model in untrained
        ]
    config = _fitting(network, training, large)
    kinds = "+".join(section.lattice.kind.name for section in large)
    start = None if pretrained is None else read_pretrained(pretrained, kinds, config)
    seeds = rng_seeds.integers(2**31, size=2).tolist()
    known_of = [
        section.measured & ~choose_validation(section.measured, training.validation_fraction, child)
        for section, child in zip(large, rng_validation.spawn(len(large)), strict=True)
    ]
    cuts = [_pieces(section) for section in large]
    pieces = [section.cut(sites) for section, parts in zip(large, cuts, strict=True) for sites in parts]
    known = [of[sites] for of, parts in zip(known_of, cuts, strict=True) for sites in parts]
    run = describe(kinds, config, training, seeds, *_arrays(pieces, known))
    found = None if checkpoint is None else read_checkpoint(checkpoint, run)
    # Validation spots have no say in the initial estimates that they will judge.
    progress.begin("initial estimates", len(large) + len(pieces))
    left_out, stacking = [], []
    for section, of, parts in zip(large, known_of, cuts, strict=True):
        left_out.append(leave_out(section, of, training.initial, seed=fold_seed))
        weights = left_out[-1].folds.stacking_weights(section.positions(of)) if training.initial == "stack" else None
        stacking += [weights] * len(parts)
        progress.step()
    laid_out = [
        progress.after(lay_out(piece, of, weights, training, images, child))
        for piece, of, weights, child in zip(pieces, known, stacking, rng_scenes.spawn(len(pieces)), strict=True)
    ]
    terms = join_terms([terms for terms, _ in laid_out])
    validation = [ways for _, ways in laid_out]
    with torch.random.fork_rng(devices=[]), quiet_lightning():
        # Of the CPU alone, where the network is built: the state of accelerators is not ours to change.
        torch.default_generator.manual_seed(seeds[0])
        cascade = CDCIN(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            cascade.load_state_dict(start)
        plan = TrainingPlan(cascade, terms, training, run)
        if training.max_epochs:
            watched = [ways[0][0].each(lambda maps: maps[:WATCHED]) for ways in validation]
            data = Batches(terms, watched, training, seeds[1])
            train(plan, data, device=device, checkpoint=checkpoint, found=found, progress=progress)
    trained = plan.network.to(device).eval()
    # The smaller of the factors that the two validation masks give.
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    shrinkage = min(find_shrinkage(trained, of, training, device) for of in ways) if training.shrink else 1.0
    log.info("trained %d epochs; shrinkage factor of the network's correction %.2f", len(plan.history), shrinkage)
    fitted = iter(zip(known_of, left_out, strict=True))
    models = []
    for model, use in zip(untrained, enough, strict=True):
        trained_on: dict[str, Any] = {}
        if use:
            of, spots = next(fitted)
            trained_on = {"known": of, "left_out": spots, "stacking": spots.folds.stacking}
        history = tuple(plan.history)
        models.append(replace(model, network=trained, shrinkage=shrinkage, history=history, **trained_on))
    return models


def _stacked(model: SectionModel) -> SectionModel:
    """The same with stacking weights from all spots, where no network asks for validation spots."""
    section, method = model.section, model.training.initial
    if len(section.values) < MIN_SPOTS:
        return model
    left_out = leave_out(section, section.measured, method, seed=model.seed)
    if method == "stack":
        left_out.folds.stacking_weights(section.positions(section.measured))
    return replace(model, left_out=left_out, stacking=left_out.folds.stacking)


def _pieces(section: SectionOnLattice) -> list[NDArray[np.bool_]]:
    """All sites, or of a large section some pieces spread over it with about `MAX_TRAINED` spots in all, (n_sites,)."""
    n = len(section.values)
    if n <= MAX_TRAINED:
        return [np.ones(len(section.lattice), bool)]
    at = section.lattice.unit_coordinates
    parts = boxes(at[section.measured], PIECE)
    wanted = np.linspace(0, len(parts) - 1, max(1, round(len(parts) * MAX_TRAINED / n))).round().astype(int)
    return [np.all((at >= low) & (at < high), axis=1) for low, high, _ in (parts[i] for i in np.unique(wanted))]


def _arrays(pieces: list[SectionOnLattice], known: list[NDArray[np.bool_]]) -> Iterator[NDArray[Any]]:
    """All that is trained on."""
    for piece, of in zip(pieces, known, strict=True):
        yield from (piece.lattice.index, of, piece.values)
        if piece.depth is not None:
            yield piece.depth


def _fitting(network: CDCINConfig, training: TrainingConfig, sections: Sequence[SectionOnLattice]) -> CDCINConfig:
    """Set the fields of a network that follow from the sections and from what it is shown."""
    maps = N_MAPS[training.initial] if training.show_maps else 0
    hexagonal = any(section.lattice.kind.hexagonal for section in sections)
    return replace(network, hexagonal=hexagonal, context_channels=maps + int(network.mask_channel))
