"""Counts are Poisson, and values have the means asked for."""

import numpy as np
import pytest
from scipy.stats import poisson

from s2s_scverse._uncertainty._marginals import Counting, _poisson


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
