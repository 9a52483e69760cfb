import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from s2s_scverse._predict import StackingWeights, fit

CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
FOUR = np.array([[1], [2], [4], [8]], np.float32)


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


def test_idw_by_hand():
    # Distances 1, 2 and 5 along a line.
    spots = np.array([[-1, 0], [2, 0], [5, 0]], float)
    expected = (3 / 1 + 6 / 2 + 10 / 5) / (1 + 1 / 2 + 1 / 5)
    values = np.array([[3], [6], [10]], np.float32)
    assert_allclose(interpolate("idw", spots, values, np.zeros((1, 2))), [[expected]], rtol=1e-6)


def test_idw_counts_all_spots_tied_with_the_eighth(spots):
    # 4 spots at distance sqrt(1/2), then 8 at sqrt(5/2): all 12 or the answer would depend on how the section lies.
    grid = np.mgrid[-3:5, -3:5].reshape(2, -1).T.astype(float)
    values = np.hypot(*(grid - 0.5).T)[:, None].astype(np.float32)
    near, far = np.sqrt(0.5), np.sqrt(2.5)
    expected = (4 * near / near + 8 * far / far) / (4 / near + 8 / far)
    assert_allclose(interpolate("idw", grid, values, np.full((1, 2), 0.5)), [[expected]], rtol=1e-6)


@pytest.mark.parametrize("method", ["linear", "cubic", "rbf"])
def test_reproduces_planes(method, spots):
    planes = np.array([[1.0, -0.5], [2.0, 0.25]])
    inside = spots[12:-12] + np.array([0.01, 0.02])
    inside = inside[(inside[:, 0] > 1) & (inside[:, 0] < 9)]
    found = interpolate(method, spots, (spots @ planes + 3).astype(np.float32), inside)
    assert_allclose(found, inside @ planes + 3, atol=2e-3 if method == "cubic" else 1e-4)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_nearest_outside_the_hull(method, spots, values):
    outside = np.array([[-5.0, -5.1], [30.0, 4.1]])
    expected = interpolate("nearest", spots, values, outside)
    assert_array_equal(interpolate(method, spots, values, outside), expected)
