"""3x3 convolutions on square and hexagonal lattices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["HexConv2d", "conv3x3"]


def conv3x3(inputs: int, outputs: int, *, hexagonal: bool) -> nn.Conv2d:
    """A 3x3 convolution that keeps height and width; on hexagonal lattices only the 6 neighbours are read."""
    kind = HexConv2d if hexagonal else nn.Conv2d
    return kind(inputs, outputs, kernel_size=3, padding=1)


class HexConv2d(nn.Conv2d):
    """A 3x3 convolution over the centre and the 6 neighbours of a hexagonal lattice in axial coordinates.

    The neighbours are (0, ±1), (±1, 0), (1, -1) and (-1, 1). The two other weights of the kernel stay in the state, so
    square and hexagonal networks exchange weights, but are multiplied by zero and get no gradient.
    """

    kernel_mask: Tensor
    masked = True  #: Off where a network that also learns from square lattices is shown one.

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, padding: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size=kernel_size, padding=padding)
        mask = torch.ones(3, 3)
        mask[0, 0] = mask[2, 2] = 0  # (-1, -1) and (1, 1) are two steps away
        self.register_buffer("kernel_mask", mask, persistent=False)  # (3, 3)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name nn.Conv2d gives it
        """Maps (B, in, H, W) to (B, out, H, W)."""
        weight = self.weight * self.kernel_mask if self.masked else self.weight
        out: Tensor = self._conv_forward(input, weight, self.bias)
        return out
