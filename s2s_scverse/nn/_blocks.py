"""One stage of the cascade, a residual dense network without up-sampling, and its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from s2s_scverse.nn._attention import WindowAttention

if TYPE_CHECKING:
    from s2s_scverse.nn._config import CDCINConfig

__all__ = ["ChannelAttention", "HexConv2d", "HybridAttentionBlock", "ResidualDenseNetwork", "conv3x3"]


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


class ChannelAttention(nn.Module):
    """Scales channels by factors in (0, 1), computed from all channels' means through ``features // squeeze`` ones."""

    def __init__(self, features: int, *, squeeze: int) -> None:
        super().__init__()
        inner = features // squeeze
        self.down = nn.Conv2d(features, inner, kernel_size=1)
        self.up = nn.Conv2d(inner, features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.up(nn.functional.relu(self.down(mean))))


class HybridAttentionBlock(nn.Module):
    """Window attention (`shifted` by half a window) beside convolutions, then a perceptron; both are residual."""

    def __init__(self, config: CDCINConfig, *, shifted: bool) -> None:
        super().__init__()
        c, hidden, inner = config.features, config.features * config.mlp_ratio, config.features // config.conv_squeeze
        self.conv_scale = config.conv_scale
        self.norm1 = nn.LayerNorm(c)
        self.attention = WindowAttention(
            c, window=config.window, heads=config.heads, shift=config.window // 2 if shifted else 0
        )
        self.conv = nn.Sequential(
            conv3x3(c, inner, hexagonal=config.hexagonal),
            nn.GELU(),
            conv3x3(inner, c, hexagonal=config.hexagonal),
            ChannelAttention(c, squeeze=config.channel_squeeze),
        )
        self.norm2 = nn.LayerNorm(c)
        self.mlp = nn.Sequential(nn.Linear(c, hidden), nn.GELU(), nn.Linear(hidden, c))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C); no copy in channels_last
        y = self.norm1(x)
        conv = self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.attention(y) + self.conv_scale * conv
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class ResidualDenseBlock(nn.Module):
    """Densely connected 3x3 layers, fused, optionally followed by two attention blocks; plus the block's input."""

    def __init__(self, config: CDCINConfig) -> None:
        super().__init__()
        widths = [config.features + i * config.growth for i in range(config.layers + 1)]
        self.layers = nn.ModuleList(conv3x3(w, config.growth, hexagonal=config.hexagonal) for w in widths[:-1])
        self.fuse = nn.Conv2d(widths[-1], config.features, kernel_size=1)
        shifts = (False, True) if config.attention else ()
        self.attention = nn.Sequential(*(HybridAttentionBlock(config, shifted=shifted) for shifted in shifts))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        dense = x
        for layer in self.layers:
            dense = torch.cat([dense, nn.functional.relu(layer(dense))], dim=1)
        out: Tensor = x + self.attention(self.fuse(dense))
        return out


class ResidualDenseNetwork(nn.Module):
    """Residual dense network (:cite:p:`Zhang2018`) that keeps height and width."""

    def __init__(self, config: CDCINConfig) -> None:
        super().__init__()
        c, hexagonal = config.features, config.hexagonal
        self.recompute = config.recompute
        self.shallow1 = conv3x3(config.in_channels, c, hexagonal=hexagonal)
        self.shallow2 = conv3x3(c, c, hexagonal=hexagonal)
        self.blocks = nn.ModuleList(ResidualDenseBlock(config) for _ in range(config.blocks))
        self.fuse1 = nn.Conv2d(config.blocks * c, c, kernel_size=1)
        self.fuse2 = conv3x3(c, c, hexagonal=hexagonal)
        self.last = conv3x3(c, 1, hexagonal=hexagonal)
        if config.zero_init:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to the correction (B, 1, H, W)."""
        first = self.shallow1(x)  # (B, C, H, W)
        y, outputs = self.shallow2(first), []
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                # Nothing in a block is random, so there is no random state to keep for the second computation.
                y = checkpoint(block, y, use_reentrant=False, preserve_rng_state=False)
            else:
                y = block(y)
            outputs.append(y)
        y = first + self.fuse2(self.fuse1(torch.cat(outputs, dim=1)))
        out: Tensor = self.last(y)
        return out
