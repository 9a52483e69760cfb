"""Checkpoints: files from which an interrupted run resumes, or another section starts."""

import hashlib
from dataclasses import asdict
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import check_folder, check_path
from ..nn import CDCINConfig
from ._config import TrainingConfig

ENTRY = "s2s"  # key of a lightning checkpoint under which a run is described


def describe(
    kind: str, network: CDCINConfig, training: TrainingConfig, seeds: list[int], *arrays: NDArray[Any]
) -> dict[str, Any]:
    """Describe a run and its training data in plain values, so that its checkpoint loads without pickle."""
    digest = hashlib.sha256(repr(seeds).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "kind": kind,
        "network": asdict(network),
        "training": training.described(),
        "data": digest.hexdigest(),
    }


def check_files(checkpoint: str | PathLike[str] | None, pretrained: str | PathLike[str] | None) -> None:
    """Refuse paths that cannot be written or read."""
    if checkpoint is not None:
        check_folder(check_path("checkpoint", checkpoint).parent, f"checkpoint={str(checkpoint)!r}")
    if pretrained is not None and not check_path("pretrained", pretrained).exists():
        msg = f"no checkpoint found at {pretrained}; write one with s2s.tl.impute(..., checkpoint=path)"
        raise FileNotFoundError(msg)


def read_checkpoint(path: str | PathLike[str], expected: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint, refusing one that is not described as `expected`."""
    try:
        # Tensors and plain values only: a file that would run code is refused.
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)[ENTRY] | {}
    except Exception as error:  # torch raises many classes for files it cannot read
        msg = (
            f"{path} is not a readable checkpoint of s2s_scverse ({type(error).__name__}); it may be truncated or of "
            "another program"
        )
        raise ValueError(msg) from error
    for name, value in expected.items():
        if found.get(name) != value:
            msg = f"{path} does not fit this run ({_difference(name, found, expected)}); pass another path"
            raise ValueError(msg)
    return found


def _difference(name: str, there: dict[str, Any], here: dict[str, Any]) -> str:
    if name == "data":
        return "measured values, mask or seed differ"
    old, new = there.get(name), here[name]
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{name} is {old!r} there and {new!r} here"
    fields = [key for key in {**new, **old} if old.get(key) != new.get(key)]
    return ", ".join(f"{name} {key} is {old.get(key)!r} there and {new.get(key)!r} here" for key in fields[:3])
