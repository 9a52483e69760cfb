import math

import numpy as np
import pytest
import torch

from s2s_scverse.nn import CDCINConfig
from s2s_scverse.nn._blocks import HybridAttentionBlock, WindowAttention, conv3x3, window_mask


def arrays(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def naive_channel_attention(x, p, prefix):  # (C, H, W)
    mean = x.mean(axis=(1, 2))
    inner = np.maximum(p[f"{prefix}down.weight"][:, :, 0, 0] @ mean + p[f"{prefix}down.bias"], 0)
    gate = p[f"{prefix}up.weight"][:, :, 0, 0] @ inner + p[f"{prefix}up.bias"]
    return x / (1 + np.exp(-gate))[:, None, None]


def naive_window_attention(x, p, *, window, shift, heads, prefix):  # (H, W, C)
    """Each site looks at the sites of its displaced window that are on the map; no roll, no padding, no mask."""
    h, w, c = x.shape
    shift_r, shift_c = (shift if side > window else 0 for side in (h, w))
    d = c // heads
    qkv = x @ p[f"{prefix}qkv.weight"].T + p[f"{prefix}qkv.bias"]  # (H, W, 3 C)
    q, k, v = (part.reshape(h, w, heads, d) for part in np.split(qkv, 3, axis=-1))
    table = p[f"{prefix}position_bias"].reshape(2 * window - 1, 2 * window - 1, heads)
    y = np.zeros((h, w, heads, d))
    for r in range(h):
        for s in range(w):
            rows = [i for i in range(h) if (i - shift_r) // window == (r - shift_r) // window]
            cols = [j for j in range(w) if (j - shift_c) // window == (s - shift_c) // window]
            keys = [(i, j) for i in rows for j in cols]
            for a in range(heads):
                bias = np.array([table[r - i + window - 1, s - j + window - 1, a] for i, j in keys])
                score = np.array([q[r, s, a] @ k[i, j, a] for i, j in keys]) / math.sqrt(d) + bias
                weight = np.exp(score - score.max())
                y[r, s, a] = weight / weight.sum() @ np.array([v[i, j, a] for i, j in keys])
    return y.reshape(h, w, c) @ p[f"{prefix}project.weight"].T + p[f"{prefix}project.bias"]


def naive_conv(x, weight, bias):  # (H, W, in) -> (H, W, out)
    h, w, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return bias + sum(padded[i : i + h, j : j + w] @ weight[:, :, i, j].T for i in range(3) for j in range(3))


def naive_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


@pytest.mark.parametrize(
    ("size", "shifted"), [((8, 8), True), ((7, 10), False), ((7, 10), True), ((3, 9), True), ((1, 1), False)]
)
def test_hybrid_block_against_a_loop_over_sites(size, shifted):
    config = CDCINConfig(features=8, heads=2, window=4, attention=True)
    torch.manual_seed(0)
    module = HybridAttentionBlock(config, shifted=shifted).double()
    with torch.no_grad():  # affine and bias tables are (nearly) neutral at first; a test must see them
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    p, x = arrays(module), np.random.default_rng(0).normal(size=(2, 8, *size))
    expected = []
    for image in x.transpose(0, 2, 3, 1):
        y = naive_norm(image, p["norm1.weight"], p["norm1.bias"])
        attended = naive_window_attention(y, p, window=4, shift=2 * shifted, heads=2, prefix="attention.")
        conv = gelu(naive_conv(y, p["conv.0.weight"], p["conv.0.bias"]))
        conv = naive_conv(conv, p["conv.2.weight"], p["conv.2.bias"])
        conv = naive_channel_attention(conv.transpose(2, 0, 1), p, "conv.3.").transpose(1, 2, 0)
        z = image + attended + 0.01 * conv
        hidden = gelu(naive_norm(z, p["norm2.weight"], p["norm2.bias"]) @ p["mlp.0.weight"].T + p["mlp.0.bias"])
        expected.append((z + hidden @ p["mlp.2.weight"].T + p["mlp.2.bias"]).transpose(2, 0, 1))
    np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-10)


def test_mask_made_in_inference_mode_serves_training():
    module = WindowAttention(8, window=4, heads=2, shift=2)
    window_mask.cache_clear()
    with torch.inference_mode():
        expected = module(torch.ones(1, 6, 9, 8))
    found = module(torch.ones(1, 6, 9, 8))
    found.sum().backward()
    torch.testing.assert_close(found.detach(), expected.clone(), rtol=1e-5, atol=1e-6)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


def test_hexagonal_against_a_sum_over_neighbours_and_without_masked_weights():
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    conv = conv3x3(3, 4, hexagonal=True)
    padded = torch.zeros(2, 3, 7, 8)
    padded[:, :, 1:-1, 1:-1] = x
    expected = conv.bias[None, :, None, None].expand(2, 4, 5, 6)
    for r, c in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, -1), (-1, 1)):
        shifted = padded[:, :, 1 + r : 6 + r, 1 + c : 7 + c]
        expected = expected + torch.einsum("oi,bihw->bohw", conv.weight[:, :, 1 + r, 1 + c], shifted)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)
    out = conv(x)
    out.square().sum().backward()
    unused = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.bool)
    assert (conv.weight.grad[:, :, unused] == 0).all()
    assert (conv.weight.grad[:, :, ~unused] != 0).all()
    with torch.no_grad():
        conv.weight[:, :, unused] = 1e3
    assert torch.equal(conv(x), out)
