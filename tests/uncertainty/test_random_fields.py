"""Random fields have the covariance of their kernel; rectified distributions have the moments asked for."""

import numpy as np
import pytest

from s2s_scverse._predict import Kernel, Kriging, PCAKriging
from s2s_scverse._predict._kriging import correlation
from s2s_scverse._uncertainty._conditional import error_variance, features, simulate_errors
from s2s_scverse._uncertainty._marginals import rectified_parameters


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
