"""Checkpoints: what a run is, files that hold one, and refusing those of another."""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._checks import check_folder, check_path
from ..nn import CDCIN, CDCINConfig
from ._config import TrainingConfig

__all__ = ["check_files", "describe", "read_checkpoint", "read_pretrained"]

REQUIRED = ("kind", "network", "training", "data", "weights", "history", "version")


def describe(
    kind: str, network: CDCINConfig, training: TrainingConfig, seeds: list[int], *arrays: NDArray[Any]
) -> dict[str, Any]:
    """Describe a run in plain values, so that its checkpoint loads without pickle.

    Parameters
    ----------
    kind
        Kind of the lattice; of several sections, of each.
    network, training
        Hyper-parameters.
    seeds
        Of all randomness.
    *arrays
        Everything the run is trained on.
    """
    digest = hashlib.sha256(repr(seeds).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "kind": kind,
        "network": _plain(asdict(network)),
        "training": _plain(asdict(training)),
        "data": digest.hexdigest(),
        "version": version("s2s-scverse"),
    }


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Turn values of numpy into those of Python, which load without pickle."""
    return {name: np.asarray(value).tolist() for name, value in fields.items()}


def check_files(checkpoint: str | PathLike[str] | None, pretrained: str | PathLike[str] | None) -> None:
    """Refuse paths at which nothing can be written or read.

    Raises
    ------
    FileNotFoundError
        If there is no folder for the checkpoint, or no such weights.
    TypeError
        If one is no path.
    """
    if checkpoint is not None:
        check_folder(check_path("checkpoint", checkpoint).parent, f"checkpoint={str(checkpoint)!r}")
    if pretrained is not None and not check_path("pretrained", pretrained).exists():
        msg = f"no checkpoint found at {pretrained}; write one with s2s.tl.impute(..., checkpoint=path)"
        raise FileNotFoundError(msg)


def read_checkpoint(path: str | PathLike[str], run: dict[str, Any], network: CDCINConfig) -> dict[str, Any] | None:
    """Read the checkpoint of an interrupted run; None if there is none yet.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the file is no checkpoint, one of another run, or holds what training does not write.
    """
    check_files(path, None)
    if not Path(path).exists():
        return None
    found = _read(path)
    for name in ("kind", "network", "training", "data"):
        if found[name] != run[name]:
            msg = (
                f"{path} is the checkpoint of another run: {_difference(name, found[name], run[name])}; "
                "pass another path, or delete the file to start anew"
            )
            raise ValueError(msg)
    _check_history(found["history"], path)
    _check_weights(found["weights"], network, path)
    return found


def read_pretrained(path: str | PathLike[str], kind: str, network: CDCINConfig) -> dict[str, torch.Tensor]:
    """Read the weights that a run on any section kept.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no checkpoint, or its network does not fit.
    """
    check_files(None, path)
    found = _read(path)
    expected = asdict(network)
    if found["network"] != expected:
        msg = (
            f"the weights in {path}, of a {found['kind']} lattice, do not fit this run on a {kind} lattice: "
            f"{_difference('network', found['network'], expected)}"
        )
        raise ValueError(msg)
    return _check_weights(found["weights"], network, path)


def _check_history(history: Any, path: str | PathLike[str]) -> None:
    rows = history if isinstance(history, list) else []
    right = all(isinstance(row, dict) and isinstance(row.get("validation"), float) for row in rows)
    if not rows or not right:
        msg = f"the history in {path} is not one of training; delete the file to start anew"
        raise ValueError(msg)


def _check_weights(weights: Any, network: CDCINConfig, path: str | PathLike[str]) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        wanted = CDCIN(network).state_dict()
    right = isinstance(weights, dict) and _shapes(weights) == _shapes(wanted)
    if not right or not all(bool(each.isfinite().all()) for each in weights.values()):
        msg = f"the weights in {path} are not those of its network; delete the file, and train anew"
        raise ValueError(msg)
    found: dict[str, torch.Tensor] = weights
    return found


def _shapes(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: (getattr(each, "shape", None), getattr(each, "dtype", None)) for name, each in weights.items()}


def _read(path: str | PathLike[str]) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as file:
            _check_unpacked(file, Path(path).stat().st_size)
            damaged = file.testzip()
        # Tensors and plain values only: a file that would run code is refused.
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except IsADirectoryError:
        msg = f"{path} is a folder; expected the path of a checkpoint file"
        raise ValueError(msg) from None
    except Exception as error:  # torch raises many classes for files it cannot read
        msg = (
            f"{path} is no readable checkpoint of s2s_scverse ({type(error).__name__}); it may be truncated or foreign"
        )
        raise ValueError(msg) from error
    if damaged:
        msg = f"{path} is damaged: what it holds as {damaged} is not what was written"
        raise ValueError(msg)
    found = content.get("s2s") if isinstance(content, dict) else None
    if not isinstance(found, dict) or any(name not in found for name in REQUIRED) or not _is_described(found):
        msg = f"{path} is no checkpoint of s2s_scverse"
        raise ValueError(msg)
    if not all(map(_is_stored, _tensors(content))):
        msg = f"{path} holds tensors that are not stored in it"
        raise ValueError(msg)
    return found


def _is_described(found: dict[str, Any]) -> bool:
    """Whether a run is described in plain values: they will be compared, and printed."""
    if not all(isinstance(found[name], str) for name in ("kind", "data", "version")):
        return False
    fields = [found[name] for name in ("network", "training")]
    if not all(isinstance(each, dict) for each in fields):
        return False
    values = [value for each in fields for value in each.values()]
    parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
    return all(part is None or isinstance(part, bool | int | float | str) for part in parts)


def _tensors(content: Any) -> Iterator[torch.Tensor]:
    """All tensors, each once, however often and deep lists hold lists."""
    seen: set[int] = set()
    left = [content]
    while left:
        found = left.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, torch.Tensor):
            yield found
        elif isinstance(found, dict):
            left.extend(found.values())
        elif isinstance(found, list | tuple):
            left.extend(found)


def _is_stored(tensor: torch.Tensor) -> bool:
    """Whether each of its values has a place of its own: a small file may promise any number, all in one place."""
    if tensor.layout != torch.strided:
        return False
    step = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def _check_unpacked(file: zipfile.ZipFile, size: int) -> None:
    """Refuse what would unpack to more than there is: torch compresses nothing."""
    members = file.infolist()
    if any(each.compress_type != zipfile.ZIP_STORED for each in members) or sum(m.file_size for m in members) > size:
        msg = "its members are compressed"
        raise ValueError(msg)


def _difference(name: str, there: Any, here: Any) -> str:
    if name == "data":
        return "measured values, mask or seed differ"
    if not isinstance(there, dict):
        return f"{name} is {there!r} there and {here!r} here"
    fields = [key for key in here if there.get(key) != here[key]]
    return ", ".join(f"{name} {key} is {there.get(key)!r} there and {here[key]!r} here" for key in fields[:3])
