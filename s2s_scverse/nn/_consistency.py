"""Data consistency: what the cascade does to measured sites between its stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from s2s_scverse.nn._config import Consistency

__all__ = ["data_consistency"]


def data_consistency(x: Tensor, values: Tensor, measured: Tensor, *, mode: Consistency, noise_level: float) -> Tensor:
    """Pull a map towards the measured values at measured sites.

    Parameters
    ----------
    x
        The running map, (B, 1, H, W).
    values
        Measured values, (B, 1, H, W); not read where nothing was measured.
    measured
        Boolean, (B, 1, H, W).
    mode
        ``"exact"``: the measured value, bit for bit. ``"noisy"``: ``(x + v * values) / (1 + v)``. ``"off"``: ``x``.
    noise_level
        The weight v of ``"noisy"``.
    """
    if mode == "off":
        return x
    if mode == "noisy":
        values = (x + noise_level * values) / (1 + noise_level)
    # A selection rather than (1 - m) x + m x0: exact, and a NaN at an unread place goes no further.
    return torch.where(measured, values, x)
