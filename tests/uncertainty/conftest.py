import numpy as np
import pytest


def square(rows, cols, step=1.0):
    y, x = np.mgrid[0:rows, 0:cols]
    return np.column_stack([x.ravel(), y.ravel()]) * step


def hexagonal(rows, cols):
    y, x = np.mgrid[0:rows, 0:cols]
    return np.column_stack([(x + (y % 2) / 2).ravel(), y.ravel() * np.sqrt(3) / 2])


@pytest.fixture(params=[pytest.param(square(9, 11), id="square"), pytest.param(hexagonal(9, 11), id="hex")])
def spots(request):
    return request.param


@pytest.fixture
def sites():
    return square(16, 20, 0.5) + 0.05


@pytest.fixture
def values(spots):
    """Seven genes: three patterns with noise, mixed."""
    rng = np.random.default_rng(0)
    x, y = spots.T
    patterns = np.column_stack([np.sin(x / 2), np.cos(y / 3), np.exp(-((x - 5) ** 2 + (y - 4) ** 2) / 8)])
    mixed = patterns @ rng.normal(size=(3, 7)) + rng.normal(size=(len(spots), 7)) * np.linspace(0.1, 1, 7)
    return mixed.astype(np.float32)
