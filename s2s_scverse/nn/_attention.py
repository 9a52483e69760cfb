"""The hybrid attention block: window attention and a convolutional branch side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from s2s_scverse.nn._conv import conv3x3
from s2s_scverse.nn._windows import merge_windows, partition_windows, relative_position_index, window_mask

if TYPE_CHECKING:
    from s2s_scverse.nn._config import CDCINConfig

__all__ = ["ChannelAttention", "HybridAttentionBlock", "WindowAttention"]


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias per relative position and head.

    Parameters
    ----------
    features
        Channels of the maps.
    window
        Side of the windows, in sites.
    heads
        Number of heads; must divide ``features``.
    shift
        By how many sites the windows are displaced. An axis that one window covers is not shifted.
    """

    position_index: Tensor

    def __init__(self, features: int, *, window: int, heads: int, shift: int = 0) -> None:
        super().__init__()
        self.window, self.heads, self.shift = window, heads, shift
        self.qkv = nn.Linear(features, 3 * features)
        self.project = nn.Linear(features, features)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.register_buffer("position_index", relative_position_index(window), persistent=False)  # (N, N)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to the same shape; H and W are free."""
        _, h, w, _ = x.shape
        x = nn.functional.pad(x, (0, 0, 0, -w % self.window, 0, -h % self.window))  # (B, H', W', C)
        padded = x.shape[1:3]
        shift = tuple(self.shift if side > self.window else 0 for side in padded)
        mask = window_mask(h, w, self.window, (shift[0], shift[1]), x.device, torch.float32)
        if any(shift):
            x = x.roll((-shift[0], -shift[1]), dims=(1, 2))
        x = self._attend(partition_windows(x, self.window), mask)  # (B, n_windows, N, C)
        x = merge_windows(x, self.window, *padded)  # (B, H', W', C)
        if any(shift):
            x = x.roll(shift, dims=(1, 2))
        return x[:, :h, :w]

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, n_windows, n, c = x.shape
        bias = self.position_bias[self.position_index].permute(2, 0, 1)  # (heads, N, N)
        # The fused kernels want 4 dimensions. With a mask, which differs between windows, windows count as heads;
        # without, they count as images and share one bias.
        groups = 1
        if mask is not None:
            groups = n_windows
            bias = (bias + mask[:, None]).flatten(0, 1)  # (n_windows * heads, N, N)
        qkv = self.qkv(x).view(b, n_windows, n, 3, self.heads, c // self.heads)
        qkv = qkv.permute(3, 0, 1, 4, 2, 5)  # (3, B, n_windows, heads, N, C / heads)
        q, k, v = qkv.reshape(3, b * n_windows // groups, groups * self.heads, n, -1)
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        y = y.reshape(b, n_windows, self.heads, n, -1).transpose(2, 3)  # (B, n_windows, N, heads, C / heads)
        out: Tensor = self.project(y.reshape(b, n_windows, n, c))
        return out


class ChannelAttention(nn.Module):
    """Scales every channel by a factor in (0, 1) computed from the means of all channels.

    Parameters
    ----------
    features
        Channels of the maps.
    squeeze
        The factors are computed through ``features // squeeze`` channels.
    """

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
    """Window attention plus, in parallel, convolutions with channel attention; then a perceptron. Both residual.

    Parameters
    ----------
    config
        The network's hyper-parameters.
    shifted
        Whether the windows are displaced by half their side.
    """

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
