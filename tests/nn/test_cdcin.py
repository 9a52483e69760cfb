from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from s2s_scverse.nn import CDCIN, PRESETS, CDCINConfig

SMALL = CDCINConfig(stages=2, features=8, growth=4, blocks=2, layers=2, heads=2, window=4, zero_init=False)
ATTENTION = replace(SMALL, attention=True)


def build(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CDCIN(config)


def maps(height=10, width=13, batch=2, context=0):
    g = torch.Generator().manual_seed(1)
    start = torch.rand(batch, 1, height, width, generator=g)
    mask = (torch.rand(batch, 1, height, width, generator=g) < 0.3).float()
    values = torch.rand(batch, 1, height, width, generator=g) * mask
    return start, values, mask, torch.rand(batch, context, height, width, generator=g) if context else None


def naive_stage(p, x, layers, blocks):
    """A residual dense network without attention, written as one formula."""

    def conv(name, x):
        weight = p[f"{name}.weight"]
        return functional.conv2d(x, weight, p[f"{name}.bias"], padding=weight.shape[-1] // 2)

    first = conv("shallow1", x)
    y, outputs = conv("shallow2", first), []
    for d in range(blocks):
        maps = [y]
        for i in range(layers):
            maps.append(conv(f"blocks.{d}.layers.{i}", torch.cat(maps, 1)).clamp(min=0))
        y = y + conv(f"blocks.{d}.fuse", torch.cat(maps, 1))
        outputs.append(y)
    return conv("last", first + conv("fuse2", conv("fuse1", torch.cat(outputs, 1))))


@pytest.mark.parametrize(
    ("consistency", "share", "mask_channel", "values_channel", "context"),
    [("exact", False, 0, 0, 0), ("exact", True, 1, 0, 0), ("noisy", False, 0, 1, 2), ("off", True, 1, 1, 1)],
)
def test_cascade_against_formulas(consistency, share, mask_channel, values_channel, context):
    channels = {"mask_channel": bool(mask_channel), "values_channel": bool(values_channel)}
    config = replace(SMALL, stages=3, consistency=consistency, noise_level=0.5, share_stages=share, **channels)
    config = replace(config, context_channels=context)
    network, (x0, v, m, c) = build(config), maps(context=context)

    def consistent(x):
        return {"exact": (1 - m) * x + m * v, "noisy": (1 - m) * x + m * (x + 0.5 * v) / 1.5, "off": x}[consistency]

    beside = [t for t, used in ((v, values_channel), (m, mask_channel), (c, context)) if used]
    x, expected = x0, []
    for k in range(3):
        x = consistent(x)
        p = dict(network.stages[0 if share else k].named_parameters())
        x = x + naive_stage(p, torch.cat([x, *beside], 1), layers=2, blocks=2)
        expected.append(x)
    torch.testing.assert_close(network(x0, v, m, c), torch.stack(expected))
    torch.testing.assert_close(network.impute(x0, v, m, c), consistent(x))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 6)])
@pytest.mark.parametrize("config", [SMALL, ATTENTION], ids=["plain", "attention"])
def test_any_size(config, size):
    network, inputs = build(config), maps(*size)
    out = network(*inputs)
    assert out.shape == (2, 2, 1, *size)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_paper_runs():
    network = build(PRESETS["paper"]).eval()
    start, values, mask, _ = maps(17, 16, batch=1)
    with torch.no_grad():
        out = network.impute(start, values, mask)
    assert out.shape == (1, 1, 17, 16)
    assert torch.isfinite(out).all()
    assert not torch.equal(out, start)


def test_measured_values_are_kept_those_hidden_by_the_mask_are_not_read_and_zero_init_adds_nothing():
    start, values, mask, _ = maps()
    values = values * 1e-7 + mask / 3  # values that arithmetic would round
    out = build(ATTENTION).impute(start, values, mask)
    assert torch.equal(out[mask == 1], values[mask == 1])
    assert (out[mask == 0] != start[mask == 0]).all()
    start, values, mask, _ = maps()
    network = build(SMALL)
    hidden = values.masked_fill(mask == 0, torch.nan)
    assert torch.equal(network(start, hidden, mask), network(start, values, mask))
    network = build(replace(ATTENTION, zero_init=True))
    start, _, mask, _ = maps()
    values = start * mask
    assert all(torch.equal(stage, start) for stage in network(start, values, mask))
    assert torch.equal(network.impute(start, values, mask), start)


def test_turning_by_60_degrees_commutes_with_rotation_symmetric_hexagonal_weights():
    network = build(replace(SMALL, hexagonal=True))
    ring = [(0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1), (1, 0)]
    with torch.no_grad():
        for p in network.parameters():
            if p.shape[2:] == (3, 3):
                mean = torch.stack([p[:, :, 1 + r, 1 + c] for r, c in ring]).mean(0)
                for r, c in ring:
                    p[:, :, 1 + r, 1 + c] = mean
    n = 61
    start = torch.zeros(1, 1, n, n)
    start[0, 0, 30:33, 30:34] = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    turned = torch.zeros_like(start)
    for u in range(-3, 7):
        for v in range(-3, 7):  # (u, v) -> (u + v, -u) turns (1, 0) into (1, -1), its next neighbour
            turned[0, 0, 30 + u + v, 30 - u] = start[0, 0, 30 + u, 30 + v]
    nothing = torch.zeros_like(start)
    out, out_turned = (network(s, nothing, nothing)[-1, 0, 0].detach() for s in (start, turned))
    assert out.std() > 0
    for u in range(-5, 8):
        for v in range(-5, 8):
            assert out_turned[30 + u + v, 30 - u] == pytest.approx(out[30 + u, 30 + v].item(), abs=1e-5)


def test_neither_recompute_nor_channels_last_changes_anything():
    inputs, grads = maps(), []
    for recompute in (False, True):
        network = build(replace(ATTENTION, recompute=recompute))
        out = network(*inputs)
        out.square().sum().backward()
        grads.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(*inputs), out)


@pytest.mark.parametrize("config", [SMALL, ATTENTION], ids=["plain", "attention"])
def test_bfloat16_autocast_is_close_and_finite(config):
    network, inputs = build(config), maps()
    expected = network(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(*inputs)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02)
    assert not torch.equal(out, expected)
    out.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
