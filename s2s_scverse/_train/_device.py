"""The device to compute on."""

import torch

__all__ = ["find_device"]


def find_device(name: str | torch.device) -> torch.device:
    """Return the available device of a name.

    Raises
    ------
    ValueError
        If torch does not know the name, or the device is not available.
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
