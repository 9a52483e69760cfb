"""Attention within (shifted) windows."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

__all__ = ["WindowAttention", "merge_windows", "partition_windows", "relative_position_index", "window_mask"]


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows of `window` sites, with a learned bias per relative position and head.

    `heads` must divide `features`. Windows are displaced by `shift` sites, along axes that more than one window covers.
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
        down, right = (self.shift if side > self.window else 0 for side in padded)
        mask = window_mask(h, w, self.window, (down, right), x.device, torch.float32)
        x = partition_windows(x.roll((-down, -right), dims=(1, 2)), self.window)  # (B, n_windows, N, C)
        x = merge_windows(self._attend(x, mask), self.window, *padded)  # (B, H', W', C)
        return x.roll((down, right), dims=(1, 2))[:, :h, :w]

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


def partition_windows(x: Tensor, window: int) -> Tensor:
    """Cut maps into windows, row by row: (B, H, W, C) to (B, n_windows, window**2, C); window divides H and W."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c).transpose(2, 3)  # (B, H/w, W/w, w, w, C)
    return x.reshape(b, -1, window * window, c)


def merge_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """Invert :func:`partition_windows`: (B, n_windows, window**2, C) to (B, height, width, C)."""
    b, c = x.shape[0], x.shape[-1]
    x = x.view(b, height // window, width // window, window, window, c).transpose(2, 3)  # (B, H/w, w, W/w, w, C)
    return x.reshape(b, height, width, c)


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for every pair (query, key) of one window, (window**2, window**2), int64.

    The offset (dr, dc) of query minus key, each from ``1 - window`` to ``window - 1``, counted row by row.
    """
    rows, cols = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    sites = torch.stack([rows.flatten(), cols.flatten()])  # (2, N)
    offset = sites[:, :, None] - sites[:, None, :] + window - 1  # (2, N, N), from 0
    return offset[0] * (2 * window - 1) + offset[1]


# Few sizes occur in one run (two in training, some in prediction); a module attribute would be stored once per block.
@lru_cache(maxsize=16)
def window_mask(
    height: int, width: int, window: int, shift: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> Tensor | None:
    """Mask to add to attention scores on a map that was padded to whole windows and rolled by `shift`.

    (n_windows, window**2, window**2): 0 where query and key are neighbours on the map, ``-inf`` where the roll brought
    them together or the key is padding. Padding sees padding, so that no row is all ``-inf``. None if all may see all.
    """
    if shift == (0, 0) and height % window == 0 and width % window == 0:
        return None
    # Lightning validates in inference mode; a tensor made there could not be used in training afterwards.
    with torch.inference_mode(mode=False):
        rows, cols = (torch.arange(-(-size // window) * window, device=device) for size in (height, width))
        label = 2 * (rows < shift[0])[:, None] + (cols < shift[1])  # (H', W'), 0 to 3: which side the roll takes it to
        label = label.masked_fill((rows >= height)[:, None] | (cols >= width), -1)
        label = label.roll((-shift[0], -shift[1]), dims=(0, 1))
        label = partition_windows(label[None, :, :, None], window)[0, :, :, 0]  # (n_windows, N)
        hidden = label[:, :, None] != label[:, None, :]  # (n_windows, N, N)
        return torch.zeros(hidden.shape, device=device, dtype=dtype).masked_fill_(hidden, -torch.inf)
