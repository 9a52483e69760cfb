"""One stage of the cascade: a residual dense network without up-sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from s2s_scverse.nn._attention import HybridAttentionBlock
from s2s_scverse.nn._conv import conv3x3

if TYPE_CHECKING:
    from s2s_scverse.nn._config import CDCINConfig

__all__ = ["ResidualDenseBlock", "ResidualDenseNetwork"]


class ResidualDenseBlock(nn.Module):
    """Densely connected 3x3 layers, fused, optionally followed by two attention blocks; plus the block's input.

    Parameters
    ----------
    config
        The network's hyper-parameters.
    """

    def __init__(self, config: CDCINConfig) -> None:
        super().__init__()
        widths = [config.features + i * config.growth for i in range(config.layers + 1)]
        self.layers = nn.ModuleList(conv3x3(w, config.growth, hexagonal=config.hexagonal) for w in widths[:-1])
        self.fuse = nn.Conv2d(widths[-1], config.features, kernel_size=1)
        self.attention = nn.Sequential()
        if config.attention:
            self.attention = nn.Sequential(*(HybridAttentionBlock(config, shifted=s) for s in (False, True)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        dense = x
        for layer in self.layers:
            dense = torch.cat([dense, nn.functional.relu(layer(dense))], dim=1)
        out: Tensor = x + self.attention(self.fuse(dense))
        return out


class ResidualDenseNetwork(nn.Module):
    """Residual dense network (:cite:p:`Zhang2018`) that keeps height and width.

    Parameters
    ----------
    config
        The network's hyper-parameters.
    """

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
            y = self._run(block, y)
            outputs.append(y)
        y = first + self.fuse2(self.fuse1(torch.cat(outputs, dim=1)))
        out: Tensor = self.last(y)
        return out

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        out: Tensor
        if self.recompute and torch.is_grad_enabled():
            # Nothing in a block is random, so there is no random state to keep for the second computation.
            out = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        else:
            out = block(x)
        return out
