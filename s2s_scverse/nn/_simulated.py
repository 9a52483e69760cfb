"""Weights of the default network, learnt from simulated sections by ``benchmarks/pretrain.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from s2s_scverse.nn._config import CDCINConfig

__all__ = ["SIMULATED", "simulated_weights"]

SIMULATED: Final = CDCINConfig(hexagonal=True, context_channels=5)
"""The network that the weights are of: it sees four initial estimates and the tissue on lattices of any kind."""


def simulated_weights(config: CDCINConfig) -> dict[str, torch.Tensor]:
    """Return the shipped weights, the state of :class:`~s2s_scverse.nn.CDCIN` with the configuration `SIMULATED`.

    Raises
    ------
    ValueError
        The weights are of another network than `config`.
    """
    if replace(config, recompute=False) != SIMULATED:
        msg = (
            "the shipped weights fit the default network only; pass training=TrainingConfig() to start from random ones"
        )
        raise ValueError(msg)
    with np.load(Path(__file__).with_name("simulated.npz")) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
