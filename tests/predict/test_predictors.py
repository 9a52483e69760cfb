"""Every predictor: closed-form answers, invariances, and sections of a few spots."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from s2s_scverse._predict import METHODS, StackingWeights, fit

MODELS = ("kriging", "pca_kriging")
CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
FOUR = np.array([[1], [2], [4], [8]], np.float32)
SITES = np.array([[0.0, 0.0], [0.5, 0.0], [2.0, 1.0]])


def interpolate(method, spots, values, sites):
    return fit(method, spots, sites, values, stacking=StackingWeights()).maps(values)[0]


def test_nearest_breaks_ties_by_position_not_by_order():
    sites = np.array([[0.5, 0.5], [0.5, 1.0], [0.9, 0.6]])
    order = [3, 1, 0, 2]
    assert_array_equal(interpolate("nearest", CORNERS, FOUR, sites).ravel(), [1, 4, 8])
    assert_array_equal(interpolate("nearest", CORNERS[order], FOUR[order], sites).ravel(), [1, 4, 8])


def test_linear_centre_of_a_turned_square_is_the_mean_of_its_corners():
    turned = CORNERS @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert_allclose(interpolate("linear", turned, FOUR, turned.mean(axis=0, keepdims=True)), [[15 / 4]], rtol=1e-6)


def test_idw_counts_all_spots_tied_with_the_eighth(spots):
    # 4 spots at distance sqrt(1/2), then 8 at sqrt(5/2): all 12 or the answer would depend on how the section lies.
    grid = np.mgrid[-3:5, -3:5].reshape(2, -1).T.astype(float)
    values = np.hypot(*(grid - 0.5).T)[:, None].astype(np.float32)
    near, far = np.sqrt(0.5), np.sqrt(2.5)
    expected = (4 * near / near + 8 * far / far) / (4 / near + 8 / far)
    assert_allclose(interpolate("idw", grid, values, np.full((1, 2), 0.5)), [[expected]], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_permutations(method, spots, values, sites):
    rng = np.random.default_rng(1)
    i, j, g = (rng.permutation(size) for size in (len(spots), len(sites), values.shape[1]))
    expected = interpolate(method, spots, values, sites)
    found = interpolate(method, spots[i], values[i][:, g], sites[j])
    assert_allclose(found, expected[j][:, g], atol=1e-2 if method == "state_kriging" else 1e-4)


def test_no_half_site_shift():
    """A bump about a spot gives a map symmetric about that spot."""
    grid = np.mgrid[0:9, 0:9].reshape(2, -1).T.astype(float)
    bump = np.exp(-((grid - 4) ** 2).sum(axis=1) / 4)[:, None].astype(np.float32)
    dense = np.mgrid[0:17, 0:17].reshape(2, -1).T / 2
    for method in ("linear", "cubic", "idw", "rbf", "kriging", "pca_kriging"):
        found = interpolate(method, grid, bump, dense).reshape(17, 17)
        assert_allclose(found, found[::-1], atol=1e-4, err_msg=method)
        assert_allclose(found, found.T, atol=1e-4, err_msg=method)
        assert np.unravel_index(found.argmax(), found.shape) == (8, 8), method
