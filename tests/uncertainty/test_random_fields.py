"""Random fields have the covariance of their kernel; rectified distributions have the moments asked for."""

import numpy as np
import pytest
from scipy.stats import poisson

from s2s_scverse._predict import Kernel, Kriging, PCAKriging
from s2s_scverse._predict._kriging import correlation
from s2s_scverse._uncertainty._conditional import error_variance, features, simulate_errors
from s2s_scverse._uncertainty._marginals import Counting, _poisson, rectified_parameters


@pytest.mark.parametrize("kernel", [Kernel("exponential", 2.0), Kernel("matern32", 4.0)], ids=str)
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1])
def test_features_give_the_covariance_of_the_kernel_in_all_directions(kernel, angle):
    distance = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 20.0])
    places = np.outer(distance, [np.cos(angle), np.sin(angle)]) + 7
    found = features(kernel, places)
    np.testing.assert_allclose(found @ found[0], correlation(kernel, distance), atol=0.05)
    np.testing.assert_allclose(np.square(found).sum(axis=1), 1, rtol=1e-5)


def test_rectified_normal_has_the_moments_asked_for():
    mean = np.array([0.1, 0.5, 1.0, 3.0, 20.0, 0.0], np.float32)
    std = np.array([0.5, 0.5, 1.0, 0.5, 1.0, 0.0], np.float32)
    location, scale = rectified_parameters(mean, std)
    z = np.random.default_rng(0).normal(size=(400_000, 1))
    values = np.maximum(location + scale * z, 0)
    np.testing.assert_allclose(values.mean(axis=0), mean, atol=0.005)
    np.testing.assert_allclose(values.std(axis=0), std, atol=0.005)
    # So far below its standard deviation, the mean decides.
    location, scale = rectified_parameters(np.float32([0.001]), np.float32([1]))
    assert np.maximum(location + scale * z, 0).mean() == pytest.approx(0.001, rel=0.1)


def square(rows, cols, step=1.0):
    y, x = np.mgrid[0:rows, 0:cols]
    return np.column_stack([x.ravel(), y.ravel()]) * step


@pytest.mark.parametrize("max_exact", [pytest.param(1600, id="whole"), pytest.param(40, id="tiles")])
def test_simulated_errors_have_the_variance_of_kriging_and_no_mean(max_exact):
    spots, sites = square(9, 11), square(16, 20, 0.5)[::7] + 0.05
    patterns = np.column_stack([np.sin(spots[:, 0] / 2), np.cos(spots[:, 1] / 3)])
    rng = np.random.default_rng(0)
    values = (patterns @ rng.normal(size=(2, 7)) + rng.normal(size=(99, 7)) * np.linspace(0.1, 1, 7)).astype(np.float32)
    weights = np.linspace(0.5, 2, len(spots))
    kriging = Kriging(spots, sites, noise_weights=weights, max_exact=max_exact, max_core=30)
    components = PCAKriging(kriging, values)
    drawn = simulate_errors(components, np.random.default_rng(1).spawn(300))
    variance = error_variance(components)
    assert drawn.shape == (300, *variance.shape)
    np.testing.assert_allclose(drawn.var(axis=(0, 1)), variance.mean(axis=0), rtol=0.15)
    assert np.abs(drawn.mean(axis=0) / np.sqrt(variance)).max() < 5 / np.sqrt(300)


@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0, 11.9, 12.1, 300.0])
def test_counts_are_poisson(rate):
    normal = np.random.default_rng(0).normal(size=(1, 100_000)).astype(np.float32)
    found = _poisson(np.full_like(normal, rate), normal)[0]
    most = int(found.max()) + 2
    expected = poisson.cdf(np.arange(most), rate)
    np.testing.assert_allclose(np.cumsum(np.bincount(found.astype(int), minlength=most)) / 1e5, expected, atol=0.006)


@pytest.mark.parametrize("logged", [True, False])
def test_values_have_the_means_and_variances_asked_for(logged):
    counting = Counting(np.array([0.05, 0.8, 6.0]), logged, np.zeros(1), np.zeros(3, bool))
    normal = np.random.default_rng(1).normal(size=(3, 100_000)).astype(np.float32)
    depth = np.zeros(3, np.float32)
    for mean in (0.0, 0.02, 0.4, 2.0, 5.0):
        expected = np.full_like(normal, mean)
        found = counting.draw(expected, normal, depth)
        variance = counting.variance(expected[:, :1])[:, 0]
        assert (np.abs(found.mean(axis=1) - mean) < 0.003 + 4 * np.sqrt(variance / 1e5)).all()
        np.testing.assert_allclose(found.var(axis=1), variance, rtol=0.06, atol=0.002)


def test_depth_differs_from_that_of_the_neighbours_as_it_does_at_spots():
    counting = Counting(np.array([0.5, 0.5]), False, np.log([0.5, 1.0, 2.0]), np.array([False, True]))
    expected, normal = np.full((2, 9), 3, np.float32), np.zeros((2, 9), np.float32)
    for depth, unit in ((0.2, 0.25), (0.5, 0.5), (0.7, 1.0)):
        found = counting.draw(expected, normal, np.full(2, depth, np.float32))
        np.testing.assert_allclose(found / [[unit], [0.5]], (found / [[unit], [0.5]]).round(), atol=1e-6)
    assert counting.variance(expected)[0, 0] == pytest.approx(3.5 / 3 * counting.variance(expected)[1, 0])
