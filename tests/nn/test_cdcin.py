from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from s2s_scverse.nn import CDCIN, PRESETS, CDCINConfig
from s2s_scverse.nn._cdcin import SIMULATED, simulated_weights

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


def parameters(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_numbers_of_parameters():
    network = CDCIN(PRESETS["paper"])
    assert [parameters(stage) for stage in network.stages] == [1_103_553] * 3
    assert parameters(network) == 3_310_659
    assert network.config.in_channels == 1
    assert CDCINConfig() == PRESETS["default"] == CDCIN().config
    assert 15_000 < parameters(CDCIN()) < 25_000
    shared, separate = (CDCIN(CDCINConfig(stages=3, share_stages=share)) for share in (True, False))
    assert parameters(shared) == parameters(separate) // 3


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


def test_one_network_serves_square_and_hexagonal_lattices():
    network, inputs = build(replace(SMALL, hexagonal=True)), maps()
    square = CDCIN(SMALL)
    square.load_state_dict(network.state_dict())
    hexagonal = network(*inputs)
    network.use_lattice(hexagonal=False)
    assert torch.equal(network(*inputs), square(*inputs))
    network.use_lattice(hexagonal=True)
    assert torch.equal(network(*inputs), hexagonal)
    assert not torch.allclose(square(*inputs), hexagonal)


def test_shipped_weights_fit_the_default_network_and_no_other():
    CDCIN(SIMULATED).load_state_dict(simulated_weights(SIMULATED))
    with pytest.raises(ValueError, match="shipped weights"):
        simulated_weights(replace(SIMULATED, stages=2))


@pytest.mark.parametrize("config", [SMALL, replace(ATTENTION, recompute=True)], ids=["plain", "attention"])
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
