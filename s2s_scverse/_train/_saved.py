"""Fitted models as plain arrays, numbers and text, as they are kept in an AnnData, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from .._calibration import Pool
from .._lattice import SectionOnLattice
from .._predict import StackingWeights
from ..nn import CDCIN, CDCINConfig
from ._config import TrainingConfig
from ._model import SectionModel

__all__ = ["model_arrays", "restore_models"]


def model_arrays(models: Sequence[SectionModel]) -> dict[str, Any]:
    """Return what was fitted, except the data, the hyper-parameters, the shrinkage factor and the history."""
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


def restore_models(
    sections: Sequence[SectionOnLattice], run: Mapping[str, Any], model: Mapping[str, Any], device: torch.device
) -> list[SectionModel]:
    """Build the models again from the run's entry in uns and what `model_arrays` returned."""
    training = _config(TrainingConfig, run["params"]["training"])
    network, weights = None, model.get("network")
    if weights is not None:
        with torch.random.fork_rng(devices=[]):
            network = CDCIN(_config(CDCINConfig, run["params"]["network"]))
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        network = network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    entries = {str(entry["name"]): entry for entry in model["sections"].values()}
    shrinkage, found = float(run["shrinkage"]), []
    for section in sections:
        entry = entries[str(section.name)]
        unguided = tuple(map(float, entry["unguided"])) if "unguided" in entry else None
        stacking = StackingWeights(tuple(map(float, entry["stacking"])), float(entry["far"]), unguided)
        errors = _config(Pool, entry["errors"]) if "errors" in entry else None
        seed = int(entry["seed"])
        found.append(SectionModel(section, training, device, seed, network, shrinkage, stacking, errors=errors))
    return found


def _config(kind: Any, values: Mapping[str, Any]) -> Any:
    """Build a dataclass from values that went through a file: of numpy's types, and without None."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    if "betas" in plain:
        plain["betas"] = tuple(plain["betas"].tolist())
    return kind(**plain)
