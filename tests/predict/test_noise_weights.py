"""Kriging with spots of unequal precision, and from profiles."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from s2s_scverse._predict import Kernel, Kriging, PCAKriging, Settings, noise_weights_of, state_kriging


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(2)
    spots, sites = rng.uniform(0, 9, (60, 2)), rng.uniform(0, 9, (15, 2))
    return spots, sites, rng.normal(size=(60, 3)).astype(np.float32) + 4, rng.uniform(0.2, 3, 60)


def by_hand(spots, sites, values, precision):
    """Kriging with an unknown constant mean by the augmented linear system: values at sites, and relative variances."""
    n = len(spots)
    weight = precision / precision.mean()
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = np.exp(-cdist(spots, spots) / 2) + 0.5 * np.diag(1 / weight)
    system[:n, n] = system[n, :n] = 1
    right = np.vstack([np.exp(-cdist(spots, sites) / 2), np.ones(len(sites))])
    solution = np.linalg.solve(system, right)
    return solution[:n].T @ values, 1 - np.sum(right * solution, axis=0)


def fixed(spots, sites, precision):
    kriging = Kriging(spots, sites, noise_weights=precision, kernels=[Kernel("exponential", 2.0)], noise_ratios=[0.5])
    return kriging, Settings(np.zeros(3, int), np.zeros(3, int))


def test_weighted_kriging_is_that_of_the_linear_system_but_for_a_shift(drawn):
    spots, sites, values, precision = drawn
    kriging, settings = fixed(spots, sites, precision)
    found = kriging.predict(values, settings)
    others = np.arange(60)
    left_out = np.stack(
        [by_hand(spots[others != i], spots[[i]], values[others != i], precision[others != i])[0][0] for i in range(60)]
    )
    # The noise ratio is relative to the mean precision, which changes when a spot is left out.
    shift = (values - left_out).mean(axis=0)
    expected, variance = by_hand(spots, sites, values, precision)
    assert_allclose(found.sites, expected + shift, atol=0.02)
    assert_allclose(kriging.relative_variance(settings)[:, 0], variance, atol=1e-4)
    assert_allclose(found.loo, left_out + shift, atol=0.05)
    assert_allclose((values - found.loo).mean(axis=0), 0, atol=1e-5)


def test_only_ratios_of_precisions_count(drawn):
    spots, sites, values, precision = drawn
    first, second = (Kriging(spots, sites, noise_weights=factor * precision).predict(values).sites for factor in (1, 7))
    assert_allclose(first, second, atol=1e-4)
    plain, equal = (
        Kriging(spots, sites, noise_weights=each).predict(values).sites for each in (None, np.full(60, 3.0))
    )
    assert_allclose(plain, equal, atol=1e-5)


def test_imprecise_spots_are_listened_to_less():
    rng = np.random.default_rng(0)
    spots = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    sites = spots[:-1] + 0.5
    precision = rng.choice([0.05, 1.0], 400)
    noise = rng.normal(size=(400, 5)) / np.sqrt(precision)[:, None]
    values = (np.sin(spots[:, :1] / 3) + 0.4 * noise).astype(np.float32)
    truth = np.sin(sites[:, :1] / 3)
    plain = Kriging(spots, sites).predict(values).sites
    weighted = Kriging(spots, sites, noise_weights=precision).predict(values).sites
    assert np.square(weighted - truth).mean() < 0.6 * np.square(plain - truth).mean()


def test_precision_is_relative_to_the_neighbours():
    spots = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    depth = np.where(spots[:, 0] < 6, 100.0, 1000.0)
    depth[5 + 12 * 6 - 4] = 10.0
    found = noise_weights_of(spots, depth)
    assert_allclose(found[spots[:, 0] < 2].mean(), 0.5, atol=0.05)
    assert_allclose(found[spots[:, 0] > 9], 0.5, atol=0.02)
    assert found.argmin() == 5 + 12 * 6 - 4
    assert_allclose(found, noise_weights_of(spots, 37 * depth))
    assert_allclose(noise_weights_of(spots[:1], depth[:1]), 1)


def test_profiles_find_what_depends_on_the_kind_of_tissue():
    """Five genes tell smoothly where in a wave a site lies; the sixth is on in its crests alone, a step."""
    rng = np.random.default_rng(3)
    spots = np.stack(np.meshgrid(np.arange(22.0), np.arange(22.0)), axis=-1).reshape(-1, 2)
    sites = spots[:-1] + 0.5

    def truth(points):
        wave = np.sin(points[:, 0] / 2) + np.cos(points[:, 1] / 2)
        return np.column_stack([wave * k for k in (1, -1, 2, 0.5, 1.5)] + [3.0 * (wave > 0.8)])

    values = (truth(spots) + 0.7 * rng.normal(size=(484, 6))).astype(np.float32)
    components = PCAKriging(Kriging(spots, sites), values)
    profiles, expected = state_kriging(components).maps(values)[0], truth(sites)
    error = np.square(profiles - expected).mean(axis=0)
    assert error[5] < 0.75 * np.square(components.maps(values)[0] - expected).mean(axis=0)[5]
    assert_allclose(state_kriging(components).maps(values[:, 2:4])[0], profiles[:, 2:4], atol=1e-4)
