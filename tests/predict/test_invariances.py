import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from s2s_scverse._predict import METHODS, Kriging, PCAKriging, StackingWeights, fit

MODELS = ("kriging", "pca_kriging")


def interpolate(method, spots, values, sites):
    return fit(method, spots, sites, values, stacking=StackingWeights()).maps(values)[0]


@pytest.mark.parametrize("method", METHODS)
def test_same_input_same_bits(method, spots, values, sites):
    first, again = (interpolate(method, spots.copy(), values.copy(), sites.copy()) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == (len(sites), values.shape[1])
    assert_array_equal(first, again)


@pytest.mark.parametrize("method", METHODS)
def test_permutations(method, spots, values, sites):
    rng = np.random.default_rng(1)
    i, j, g = (rng.permutation(size) for size in (len(spots), len(sites), values.shape[1]))
    expected = interpolate(method, spots, values, sites)
    found = interpolate(method, spots[i], values[i][:, g], sites[j])
    assert_allclose(found, expected[j][:, g], atol=1e-2 if method == "state_kriging" else 1e-4)


@pytest.mark.parametrize("method", MODELS)
def test_moving_and_scaling_values(method, spots, values, sites):
    expected = interpolate(method, spots, values, sites)
    assert_allclose(interpolate(method, spots, 4 * values + 2, sites), 4 * expected + 2, atol=1e-3)
    assert_allclose(interpolate(method, spots + 1000, values, sites + 1000), expected, atol=1e-4)


def test_blocks_of_genes(spots, values, sites):
    kriging = Kriging(spots, sites)
    model = PCAKriging(kriging, values, n_components=3)
    whole = model.predict(values)
    parts = [model.predict(values[:, block]) for block in (slice(0, 3), slice(3, 7))]
    assert_allclose(np.hstack([part.sites for part in parts]), whole.sites, atol=1e-5)
    assert_allclose(np.hstack([part.loo for part in parts]), whole.loo, atol=1e-5)
    assert_allclose(np.hstack([part.kriging.sites for part in parts]), whole.kriging.sites, atol=1e-5)
