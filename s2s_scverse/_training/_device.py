"""Where to compute."""

import torch

from ._config import TrainingConfig

__all__ = ["find_device", "use_bf16"]


def find_device(name: str | torch.device) -> torch.device:
    """Turn the name of a device into one that is there.

    Raises
    ------
    ValueError
        If the name means nothing to torch, or the device is not available.
    TypeError
        If it is no name.
    """
    if not isinstance(name, str | torch.device):
        msg = f"device must be 'auto' or a torch device, found {name!r} ({type(name).__name__})"
        raise TypeError(msg)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return torch.device("cpu") if accelerator is None else accelerator
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        msg = f"device must be 'auto' or a torch device, found {name!r}"
        raise ValueError(msg) from None
    there = device.type == "cpu" or (
        accelerator is not None
        and device.type == accelerator.type
        and (device.index or 0) < torch.accelerator.device_count()
    )
    if not there:
        msg = f"device {name!r} is not available here; pass device='auto' or 'cpu'"
        raise ValueError(msg)
    return device


def use_bf16(training: TrainingConfig, device: torch.device) -> bool:
    """Whether the network computes in bfloat16."""
    if training.precision != "auto":
        return training.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # Without hardware support bfloat16 is emulated, and slower than float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
