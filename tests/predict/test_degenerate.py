import numpy as np
import pytest
from numpy.testing import assert_allclose

from s2s_scverse._predict import METHODS, Kriging, PCAKriging, StackingWeights, fit

SITES = np.array([[0.0, 0.0], [0.5, 0.0], [2.0, 1.0]])


def interpolate(method, spots, values, sites):
    return fit(method, spots, sites, values, stacking=StackingWeights()).maps(values)[0]


@pytest.mark.parametrize("method", METHODS)
def test_one_spot(method):
    found = interpolate(method, np.zeros((1, 2)), np.array([[3.0, 4.0]], np.float32), SITES)
    assert_allclose(found, [[3, 4]] * 3)


@pytest.mark.parametrize("method", METHODS)
def test_two_spots(method):
    spots = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = interpolate(method, spots, np.array([[1.0], [3.0]], np.float32), SITES).ravel()
    assert found[1] == pytest.approx(1 if method == "nearest" else 2, abs=1e-5)
    assert np.all((found > 1 - 1e-6) & (found < 3 + 1e-6))
    assert found[0] < found[2]


@pytest.mark.parametrize("method", METHODS)
def test_one_row(method):
    spots = np.column_stack([np.arange(8.0), np.full(8, 2.0)])
    values = (2 * spots[:, :1] + 1).astype(np.float32)
    found = interpolate(method, spots, values, np.array([[2.5, 2.0], [3.0, 2.0], [-4.0, 2.0]])).ravel()
    if method in ("linear", "cubic", "rbf"):
        assert_allclose(found, [6, 7, 1], atol=1e-4)
    assert np.all((found >= 1 - 1e-3) & (found <= 15))


@pytest.mark.parametrize("method", METHODS)
def test_no_sites_and_no_genes(method, spots, values, sites):
    assert interpolate(method, spots, values, np.empty((0, 2))).shape == (0, 7)
    assert interpolate(method, spots, values[:, :0], sites).shape == (len(sites), 0)


def test_fewer_spots_than_components(values, spots):
    model = PCAKriging(Kriging(spots[:4], SITES), values[:4], n_components=25)
    assert model.scores.shape == (4, 3)
    assert np.isfinite(model.predict(values[:4]).sites).all()
