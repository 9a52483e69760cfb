"""Every predictor: closed-form answers, invariances, and sections of a few spots."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from s2s_scverse._predict import METHODS, StackingWeights, fit

CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
FOUR = np.array([[1], [2], [4], [8]], np.float32)
SITES = np.array([[0.0, 0.0], [0.5, 0.0], [2.0, 1.0]])


def interpolate(method, spots, values, sites):
    return fit(method, spots, sites, values, stacking=StackingWeights()).maps(values)[0]


def test_answers_worked_out_by_hand():
    sites = np.array([[0.5, 0.5], [0.5, 1.0], [0.9, 0.6]])
    order = [3, 1, 0, 2]
    assert_array_equal(interpolate("nearest", CORNERS, FOUR, sites).ravel(), [1, 4, 8])
    assert_array_equal(interpolate("nearest", CORNERS[order], FOUR[order], sites).ravel(), [1, 4, 8])
    turned = CORNERS @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert_allclose(interpolate("linear", turned, FOUR, turned.mean(axis=0, keepdims=True)), [[15 / 4]], rtol=1e-6)
    # Distances 1, 2 and 5 along a line.
    spots = np.array([[-1, 0], [2, 0], [5, 0]], float)
    expected = (3 / 1 + 6 / 2 + 10 / 5) / (1 + 1 / 2 + 1 / 5)
    values = np.array([[3], [6], [10]], np.float32)
    assert_allclose(interpolate("idw", spots, values, np.zeros((1, 2))), [[expected]], rtol=1e-6)


def test_idw_counts_all_spots_tied_with_the_eighth():
    # 4 spots at distance sqrt(1/2), then 8 at sqrt(5/2): all 12 or the answer would depend on how the section lies.
    grid = np.mgrid[-3:5, -3:5].reshape(2, -1).T.astype(float)
    values = np.hypot(*(grid - 0.5).T)[:, None].astype(np.float32)
    near, far = np.sqrt(0.5), np.sqrt(2.5)
    expected = (4 * near / near + 8 * far / far) / (4 / near + 8 / far)
    assert_allclose(interpolate("idw", grid, values, np.full((1, 2), 0.5)), [[expected]], rtol=1e-6)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_nearest_outside_the_hull(method, spots, values):
    outside = np.array([[-5.0, -5.1], [30.0, 4.1]])
    expected = interpolate("nearest", spots, values, outside)
    assert_array_equal(interpolate(method, spots, values, outside), expected)


@pytest.mark.parametrize("method", METHODS)
def test_few_spots(method):
    found = interpolate(method, np.zeros((1, 2)), np.array([[3.0, 4.0]], np.float32), SITES)
    assert_allclose(found, [[3, 4]] * 3)
    spots = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = interpolate(method, spots, np.array([[1.0], [3.0]], np.float32), SITES).ravel()
    assert found[1] == pytest.approx(1 if method == "nearest" else 2, abs=1e-5)
    assert np.all((found > 1 - 1e-6) & (found < 3 + 1e-6))
    assert found[0] < found[2]
    # One row.
    spots = np.column_stack([np.arange(8.0), np.full(8, 2.0)])
    values = (2 * spots[:, :1] + 1).astype(np.float32)
    found = interpolate(method, spots, values, np.array([[2.5, 2.0], [3.0, 2.0], [-4.0, 2.0]])).ravel()
    if method in ("linear", "cubic", "rbf"):
        assert_allclose(found, [6, 7, 1], atol=1e-4)
    assert np.all((found >= 1 - 1e-3) & (found <= 15))
    # No sites, and no genes.
    assert interpolate(method, CORNERS, FOUR, SITES[:0]).shape == (0, 1)
    assert interpolate(method, CORNERS, FOUR[:, :0], SITES).shape == (3, 0)
