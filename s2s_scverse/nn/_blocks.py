"""One stage of the cascade, a residual dense network without up-sampling, and its blocks."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ._config import CDCINConfig

CONV_SCALE = 0.01  # weight of the convolutions beside window attention


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
    """Scales channels by factors in (0, 1), computed from all channels' means through an eighth as many channels."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(features, features // 8, kernel_size=1)
        self.up = nn.Conv2d(features // 8, features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.up(nn.functional.relu(self.down(mean))))


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
        # Row of the table of biases for the offset (dr, dc) of query minus key, counted row by row from 1 - window.
        site = torch.cartesian_prod(torch.arange(window), torch.arange(window))  # (N, 2)
        offset = site[:, None] - site[None] + window - 1  # (N, N, 2)
        index = offset[..., 0] * (2 * window - 1) + offset[..., 1]
        self.register_buffer("position_index", index, persistent=False)  # (N, N)

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
    """Invert `partition_windows`: (B, n_windows, window**2, C) to (B, height, width, C)."""
    b, c = x.shape[0], x.shape[-1]
    x = x.view(b, height // window, width // window, window, window, c).transpose(2, 3)  # (B, H/w, w, W/w, w, C)
    return x.reshape(b, height, width, c)


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


class HybridAttentionBlock(nn.Module):
    """Window attention (`shifted` by half a window) beside convolutions, then a perceptron; both are residual."""

    def __init__(self, config: CDCINConfig, *, shifted: bool) -> None:
        super().__init__()
        c, hidden, inner = config.features, config.features * 4, config.features // 4
        self.norm1 = nn.LayerNorm(c)
        self.attention = WindowAttention(
            c, window=config.window, heads=config.heads, shift=config.window // 2 if shifted else 0
        )
        self.conv = nn.Sequential(
            conv3x3(c, inner, hexagonal=config.hexagonal),
            nn.GELU(),
            conv3x3(inner, c, hexagonal=config.hexagonal),
            ChannelAttention(c),
        )
        self.norm2 = nn.LayerNorm(c)
        self.mlp = nn.Sequential(nn.Linear(c, hidden), nn.GELU(), nn.Linear(hidden, c))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the same shape."""
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C); no copy in channels_last
        y = self.norm1(x)
        conv = self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.attention(y) + CONV_SCALE * conv
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
