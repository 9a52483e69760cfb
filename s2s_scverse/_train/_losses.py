"""Errors over masked sites, weighted by stage."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ._config import Loss

__all__ = ["masked_error", "staged_loss"]


def masked_error(prediction: Tensor, target: Tensor, weight: Tensor, kind: Loss) -> Tensor:
    """Mean error over sites, weighted; all of one shape. Huber's is squared below 1 and absolute beyond."""
    if kind == "l1":
        error = (prediction - target).abs()
    elif kind == "l2":
        error = (prediction - target).square()
    else:
        error = F.smooth_l1_loss(prediction, target, reduction="none")
    return (error * weight).sum() / weight.sum().clamp_min(1)


def staged_loss(stages: Tensor, target: Tensor, weight: Tensor, kind: Loss) -> Tensor:
    """Mean error (of B, 1, H, W) of every stage k = 1 ... K of (K, B, 1, H, W), weighted k/K and summed."""
    n = len(stages)
    errors = [masked_error(stage.float(), target, weight, kind) * (k / n) for k, stage in enumerate(stages, start=1)]
    return torch.stack(errors).sum()
