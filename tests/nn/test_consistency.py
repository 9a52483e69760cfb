import numpy as np
import pytest
import torch

from s2s_scverse.nn._consistency import data_consistency


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    x, values = rng.normal(size=(2, 2, 1, 5, 7))
    mask = rng.random((2, 1, 5, 7)) < 0.4
    return x, values, mask


@pytest.mark.parametrize("mode", ["exact", "noisy", "off"])
def test_formula(maps, mode):
    x, x0, mask = maps
    m, v = mask.astype(float), 0.7
    expected = {"exact": (1 - m) * x + m * x0, "noisy": (1 - m) * x + m * (x + v * x0) / (1 + v), "off": x}
    found = data_consistency(*map(torch.tensor, maps), mode=mode, noise_level=v)
    np.testing.assert_allclose(found.numpy(), expected[mode], rtol=1e-14)


@pytest.mark.parametrize("mode", ["exact", "noisy"])
def test_hidden_nan_is_not_read(maps, mode):
    x, values, mask = map(torch.tensor, maps)
    hidden = values.masked_fill(~mask, torch.nan)
    found = data_consistency(x, hidden, mask, mode=mode, noise_level=1.0)
    assert torch.equal(found, data_consistency(x, values, mask, mode=mode, noise_level=1.0))
