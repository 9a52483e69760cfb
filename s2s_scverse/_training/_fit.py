"""Training on one section: arrays in, a fitted imputer out."""

import logging
from dataclasses import replace
from os import PathLike

import numpy as np
import torch

from ..nn import CDCIN, CDCINConfig
from ._batches import Batches
from ._checkpoint import describe, read_checkpoint, read_pretrained
from ._config import TrainingConfig
from ._fitted import Fitted, find_gate
from ._layout import Images, keep_aside, lay_out
from ._maps import KINDS, find_weights
from ._module import TrainingPlan
from ._quiet import quiet_lightning
from ._section import Section
from ._trainer import train

__all__ = ["MIN_SPOTS", "fit"]

log = logging.getLogger(__name__)

MIN_SPOTS = 16
"""With fewer measured spots there is nothing to keep aside and little to learn from."""


def fit(
    section: Section,
    *,
    network: CDCINConfig,
    training: TrainingConfig,
    images: Images | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: bool,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: str | PathLike[str] | None = None,
) -> Fitted:
    """Train on one section; see :func:`s2s_scverse.tl.impute`.

    Parameters
    ----------
    section
        Lattice, measured sites, measured values.
    network, training
        Hyper-parameters. `context_channels` and `hexagonal` of the network are set to what the section needs.
    images
        Natural images to learn from besides the genes, or None.
    device
        Where to train and predict.
    rng
        Source of all randomness.
    progress
        Whether to show a bar.
    checkpoint
        File to write after every epoch, and to go on from if it is there.
    pretrained
        Checkpoint whose best weights to start from.
    """
    trained_on = section.most_variable(training.max_genes)
    informative = trained_on.values
    if len(informative) < MIN_SPOTS or not informative.shape[1]:
        return Fitted(section, informative, None, training, None, 0.0, [], device)
    config = _fitting(network, training, section)
    start = None if pretrained is None else read_pretrained(pretrained, section.lattice.kind.name, config)
    rng_aside, rng_scenes, rng_seeds = rng.spawn(3)
    seeds = rng_seeds.integers(2**31, size=2).tolist()
    known = section.measured & ~keep_aside(section.measured, training.validation_fraction, rng_aside)
    run = describe(section.lattice.kind.name, config, training, seeds, section.lattice.index, known, informative)
    found = None if checkpoint is None else read_checkpoint(checkpoint, run)
    weights = find_weights(training.start, section.lattice, known, informative[known[section.measured]])
    terms, validation = lay_out(trained_on, known, weights, training, images, rng_scenes)
    with torch.random.fork_rng(devices=[]), quiet_lightning():
        # Of the CPU alone, where the network is built: the state of accelerators is not ours to change.
        torch.default_generator.manual_seed(seeds[0])
        cascade = CDCIN(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            cascade.load_state_dict(start)
        plan = TrainingPlan(cascade, terms, training, run)
        if training.max_epochs:
            data = Batches(terms, validation, training, seeds[1])
            train(plan, data, device=device, checkpoint=checkpoint, found=found, progress=progress)
    trained = plan.network.to(device).eval()
    gate = find_gate(trained, validation, training, device) if training.gate else 1.0
    log.info("trained %d epochs; the network's correction counts %.2f", len(plan.history), gate)
    return Fitted(section, informative, weights, training, trained, gate, plan.history, device)


def _fitting(network: CDCINConfig, training: TrainingConfig, section: Section) -> CDCINConfig:
    """Set the fields of a network that follow from the section and from what it is shown."""
    maps = KINDS[training.start] if training.show_maps else 0
    return replace(network, hexagonal=section.lattice.kind.hexagonal, context_channels=maps + int(network.mask_channel))
