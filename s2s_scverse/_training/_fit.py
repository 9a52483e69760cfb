"""Training on one section: arrays in, a fitted imputer out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._progress import SILENT, Progress
from ..nn import CDCIN, CDCINConfig
from ._batches import Batches
from ._checkpoint import describe, read_checkpoint, read_pretrained
from ._config import TrainingConfig
from ._fitted import Fitted, find_gate, leave_out
from ._layout import Images, join_terms, keep_aside, lay_out
from ._maps import KINDS
from ._module import TrainingPlan
from ._parallel import ALONE, Parallel
from ._quiet import quiet_lightning
from ._section import Section
from ._trainer import train

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIN_SPOTS", "fit", "untrained"]

log = logging.getLogger(__name__)

WATCHED = 16
"""Genes whose error at the spots kept aside is recorded after every epoch."""
MAX_TRAINED = 3000
"""Of a section with more measured spots, pieces with about so many are trained on."""

MIN_SPOTS = 16
"""With fewer measured spots there is nothing to keep aside and little to learn from."""


def fit(
    sections: Sequence[Section],
    *,
    network: CDCINConfig,
    training: TrainingConfig,
    images: Images | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: Progress = SILENT,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: str | PathLike[str] | None = None,
    parallel: Parallel = ALONE,
) -> list[Fitted]:
    """Train one network on all sections; see :func:`s2s_scverse.tl.impute`.

    Parameters
    ----------
    sections
        Lattice, measured sites, measured values of the genes to train on; each lies alone in space.
    network, training
        Hyper-parameters. `context_channels` and `hexagonal` of the network are set to what the sections need.
    images
        Natural images to learn from besides the genes, or None.
    device
        Where to train and predict.
    rng
        Source of all randomness.
    progress
        Whom to tell.
    checkpoint
        File to write after every epoch, and to go on from if it is there.
    pretrained
        Checkpoint whose weights to start from.
    parallel
        Processes that train together; each is to call this with the same arguments.

    Returns
    -------
    One for each section, all with the same network; without one if no section has enough spots to train on.
    """
    enough = [len(section.values) >= MIN_SPOTS for section in sections]
    large = [section for section, use in zip(sections, enough, strict=True) if use]
    if not large or not large[0].values.shape[1]:
        return untrained(sections, training, device, rng)
    config = _fitting(network, training, large)
    kinds = "+".join(section.lattice.kind.name for section in large)
    start = None if pretrained is None else read_pretrained(pretrained, kinds, config)
    rng_aside, rng_scenes, rng_seeds, rng_folds = rng.spawn(4)
    seeds = rng_seeds.integers(2**31, size=2).tolist()
    fold_seed = int(rng_folds.integers(2**31))
    known_of = [
        section.measured & ~keep_aside(section.measured, training.validation_fraction, child)
        for section, child in zip(large, rng_aside.spawn(len(large)), strict=True)
    ]
    cuts = [section.pieces(MAX_TRAINED) for section in large]
    pieces = [section.cut(sites) for section, parts in zip(large, cuts, strict=True) for sites in parts]
    known = [of[sites] for of, parts in zip(known_of, cuts, strict=True) for sites in parts]
    # What one process would do with as large a batch is the same run.
    together = replace(training, batch_size=training.batch_size * parallel.n_processes)
    run = describe(kinds, config, together, seeds, *_arrays(pieces, known))
    found = None if checkpoint is None else read_checkpoint(checkpoint, run, config)
    # Spots kept aside have no say in the starting maps that they will judge.
    progress.begin("starting maps", len(large) + len(pieces))
    left_out = [
        progress.after(leave_out(section, of, training, seed=fold_seed)) if training.start == "blend" else None
        for section, of in zip(large, known_of, strict=True)
    ]
    weights = [
        None if each is None else each.weights for each, parts in zip(left_out, cuts, strict=True) for _ in parts
    ]
    laid_out = [
        progress.after(lay_out(piece, of, blend, training, images, child))
        for piece, of, blend, child in zip(pieces, known, weights, rng_scenes.spawn(len(pieces)), strict=True)
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
            train(plan, data, device=device, parallel=parallel, checkpoint=checkpoint, found=found, progress=progress)
    trained = plan.network.to(device).eval()
    # A correction counts as much as it helps in the way of hiding spots in which it helps less.
    ways = [[of[way] for of in validation if len(of) > way] for way in range(max(map(len, validation)))]
    gates = [find_gate(trained, of, training, device) for of in ways] if training.gate else [1.0]
    gate = min(gates)
    log.info("trained %d epochs; the network's correction counts %.2f", len(plan.history), gate)
    found_of = iter(zip(known_of, left_out, strict=True))
    fitted = []
    for section, use in zip(sections, enough, strict=True):
        of, spots = next(found_of) if use else (section.measured, None)
        weights_of = None if spots is None else spots.weights
        fitted.append(Fitted(section, of, spots, weights_of, training, trained, gate, plan.history, device, fold_seed))
    return fitted


def untrained(
    sections: Sequence[Section], training: TrainingConfig, device: torch.device, rng: np.random.Generator
) -> list[Fitted]:
    """Return what imputes by starting maps alone."""
    seed = int(rng.spawn(4)[3].integers(2**31))
    return [
        Fitted(section, section.measured, None, None, training, None, 0.0, [], device, seed) for section in sections
    ]


def _arrays(pieces: "list[Section]", known: "list[NDArray[np.bool_]]") -> "Iterator[NDArray[Any]]":
    """All that is trained on."""
    for each, of in zip(pieces, known, strict=True):
        yield from (each.lattice.index, of, each.values)
        if each.depth is not None:
            yield each.depth


def _fitting(network: CDCINConfig, training: TrainingConfig, sections: Sequence[Section]) -> CDCINConfig:
    """Set the fields of a network that follow from the sections and from what it is shown."""
    maps = KINDS[training.start] if training.show_maps else 0
    hexagonal = any(section.lattice.kind.hexagonal for section in sections)
    return replace(network, hexagonal=hexagonal, context_channels=maps + int(network.mask_channel))
