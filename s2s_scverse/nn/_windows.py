"""Geometry of (shifted) attention windows: pure functions of sizes, no weights."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["merge_windows", "partition_windows", "relative_position_index", "window_mask"]


def partition_windows(x: Tensor, window: int) -> Tensor:
    """Cut maps into windows, row by row: (B, H, W, C) to (B, n_windows, window**2, C); window divides H and W."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c).transpose(2, 3)  # (B, H/w, W/w, w, w, C)
    return x.reshape(b, -1, window * window, c)


def merge_windows(x: Tensor, window: int, height: int, width: int) -> Tensor:
    """The way back from :func:`partition_windows`: (B, n_windows, window**2, C) to (B, height, width, C)."""
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
    """What the sites of each window may not see, to be added to attention scores.

    Parameters
    ----------
    height, width
        Size of the map before padding.
    window
        Side of the windows; the map is padded at the bottom and right to a multiple of it.
    shift
        By how many rows and columns the padded map was rolled up and left before it was cut.
    device, dtype
        Of the result.

    Returns
    -------
    (n_windows, window**2, window**2): 0 where query and key are neighbours on the map, ``-inf`` where the roll brought
    them together or the key is padding. Padding sees padding, so that no row is all ``-inf``. None if all may see all.
    """
    if shift == (0, 0) and height % window == 0 and width % window == 0:
        return None
    # Lightning validates in inference mode; a tensor made there could not be used in training afterwards.
    with torch.inference_mode(mode=False):
        row_wrapped, row_real = _axis(height, window, shift[0], device)
        col_wrapped, col_real = _axis(width, window, shift[1], device)
        label = 2 * row_wrapped[:, None] + col_wrapped[None, :]  # (H', W'), 0 to 3
        label = label.masked_fill(~(row_real[:, None] & col_real[None, :]), -1)
        label = partition_windows(label[None, :, :, None], window)[0, :, :, 0]  # (n_windows, N)
        hidden = label[:, :, None] != label[:, None, :]  # (n_windows, N, N)
        return torch.zeros(hidden.shape, device=device, dtype=dtype).masked_fill_(hidden, -torch.inf)


def _axis(size: int, window: int, shift: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every place of one padded and rolled axis: came it round the end (int64), and is it real (bool)?"""
    padded = -(-size // window) * window
    origin = (torch.arange(padded, device=device) + shift) % padded
    return (origin < shift).long(), origin < size
