import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from s2s_scverse._predict import KERNELS, NUGGETS, Kernel, Kriging, PCAKriging, boxes, find_noise_weights, state_kriging
from s2s_scverse._predict._kriging import correlation


def ordinary_kriging(spots, values, sites, kernel, nugget, weights=None):
    """Prediction and relative variance from the textbook's linear system, in float64."""
    n = len(spots)
    system, weights = np.zeros((n + 1, n + 1)), np.ones(n) if weights is None else weights
    system[:n, :n] = correlation(kernel, cdist(spots, spots)) + nugget * np.diag(weights.mean() / weights)
    system[:n, n] = system[n, :n] = 1
    right = np.ones((n + 1, len(sites)))
    right[:n] = correlation(kernel, cdist(spots, sites))
    solution = np.linalg.solve(system, right)
    return solution[:n].T @ values, 1 - np.einsum("ns,ns->s", solution, right)


@pytest.mark.parametrize(("family", "at_one"), [("exponential", np.exp(-0.5)), ("matern32", 1.5 * np.exp(-0.5))])
def test_kernels(family, at_one):
    length = 2.0 if family == "exponential" else 2 * np.sqrt(3)
    assert_allclose(correlation(Kernel(family, length), np.array([0.0, 1.0])), [1, at_one], rtol=1e-6)


@pytest.mark.parametrize("kernel", [KERNELS[0], KERNELS[9]])
@pytest.mark.parametrize("nugget", [NUGGETS[0], NUGGETS[-1]])
def test_equals_the_textbook_system(kernel, nugget, spots, values, sites):
    kriging = Kriging(spots, sites, kernels=[kernel], nuggets=[nugget])
    found = kriging.predict(values)
    expected, variance = ordinary_kriging(spots, values, sites, kernel, nugget)
    assert_allclose(found.sites, expected, atol=3e-4)
    assert_allclose(kriging.relative_variance(found.settings)[:, 0], variance, atol=3e-4)


def loo_error(found, values):
    return np.square(values - found.loo, dtype=float).mean(axis=0)


def test_leave_one_out_equals_refits(spots, values, sites):
    kernel, nugget = Kernel("exponential", 2.0), 0.25
    found = Kriging(spots, sites, kernels=[kernel], nuggets=[nugget]).predict(values)
    refits = np.empty_like(values)
    for i in range(len(spots)):
        others = np.arange(len(spots)) != i
        refits[i] = ordinary_kriging(spots[others], values[others], spots[[i]], kernel, nugget)[0]
    assert_allclose(found.loo, refits, atol=1e-4)
    assert_allclose(loo_error(found, values), ((values - refits) ** 2).mean(axis=0), rtol=1e-4)


@pytest.fixture(scope="module")
def unequal():
    """Spots, sites, values and noise weights."""
    rng = np.random.default_rng(2)
    spots, sites = rng.uniform(0, 9, (60, 2)), rng.uniform(0, 9, (15, 2))
    return spots, sites, rng.normal(size=(60, 3)).astype(np.float32) + 4, rng.uniform(0.2, 3, 60)


def test_weighted_kriging_is_that_of_the_textbook_but_for_a_shift(unequal):
    spots, sites, values, weights = unequal
    kernel, nugget = Kernel("exponential", 2.0), 0.5
    kriging = Kriging(spots, sites, noise_weights=weights, kernels=[kernel], nuggets=[nugget])
    found = kriging.predict(values)
    refits = np.empty_like(values)
    for i in range(60):
        others = np.arange(60) != i
        known = spots[others], values[others], spots[[i]], kernel, nugget, weights[others]
        refits[i] = ordinary_kriging(*known)[0]
    # The nugget is relative to the mean weight, which changes when a spot is left out.
    shift = (values - refits).mean(axis=0)
    expected, variance = ordinary_kriging(spots, values, sites, kernel, nugget, weights)
    assert_allclose(found.sites, expected + shift, atol=0.02)
    assert_allclose(kriging.relative_variance(found.settings)[:, 0], variance, atol=1e-4)
    assert_allclose(found.loo, refits + shift, atol=0.05)
    assert_allclose((values - found.loo).mean(axis=0), 0, atol=1e-5)


def test_only_ratios_of_noise_weights_count(unequal):
    spots, sites, values, weights = unequal
    first, second, plain, equal = (
        Kriging(spots, sites, noise_weights=each).predict(values).sites
        for each in (weights, 7 * weights, None, np.full(60, 3.0))
    )
    assert_allclose(first, second, atol=1e-4)
    assert_allclose(plain, equal, atol=1e-5)


def test_noise_weights_are_relative_to_the_neighbours():
    spots = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    depth = np.where(spots[:, 0] < 6, 100.0, 1000.0)
    depth[5 + 12 * 6 - 4] = 10.0
    found = find_noise_weights(spots, depth)
    assert_allclose(found[spots[:, 0] < 2].mean(), 0.5, atol=0.05)
    assert_allclose(found[spots[:, 0] > 9], 0.5, atol=0.02)
    assert found.argmin() == 5 + 12 * 6 - 4
    assert_allclose(found, find_noise_weights(spots, 37 * depth))
    assert_allclose(find_noise_weights(spots[:1], depth[:1]), 1)


def test_finds_length_and_noise_of_a_simulated_gene():
    rng = np.random.default_rng(3)
    spots = np.mgrid[0:30, 0:30].reshape(2, -1).T.astype(float)
    covariance = correlation(Kernel("exponential", 4.0), cdist(spots, spots)).astype(float)
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(900))
    values = root @ rng.normal(size=(900, 20)) + rng.normal(size=(900, 20))
    found = Kriging(spots, spots[:1]).predict(values)
    assert np.median(np.asarray(NUGGETS)[found.settings.nugget]) in (0.5, 1.0, 2.0)
    signal = found.variance * np.asarray(NUGGETS)[found.settings.nugget]
    assert np.median(signal) == pytest.approx(1.0, rel=0.15)


def test_tiles_are_close_to_the_whole():
    rng = np.random.default_rng(0)
    spots = np.mgrid[0:40, 0:40].reshape(2, -1).T.astype(float)
    sites = rng.uniform(0, 39, (500, 2))
    truth = np.sin(spots[:, :1] / 3) * np.cos(spots[:, 1:] / 4)
    values = (truth + rng.normal(size=(1600, 5))).astype(np.float32)
    whole = Kriging(spots, sites)
    tiled = Kriging(spots, sites, max_exact=0, max_core=200)
    settings = whole.tune(values)
    expected, found = whole.predict(values, settings), tiled.predict(values, settings)
    assert np.sqrt(((found.sites - expected.sites) ** 2).mean()) < 0.02 * expected.sites.std()
    assert_allclose(loo_error(found, values), loo_error(expected, values), rtol=0.01)
    chosen = tiled.predict(values)
    assert_allclose(loo_error(chosen, values), loo_error(expected, values), rtol=0.01)
    again = Kriging(spots, sites, max_exact=0, max_core=200, cache_bytes=0).predict(values)
    assert_array_equal(again.sites, chosen.sites)


def test_state_kriging_finds_what_depends_on_the_kind_of_tissue():
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


def test_boxes_of_an_l_shaped_section_hold_all_spots_once():
    spots = np.array([(x, y) for x in range(40) for y in range(40) if x < 10 or y < 10], float)
    found = boxes(spots, 45)
    assert max(len(inside) for *_, inside in found) <= 45
    np.testing.assert_array_equal(np.sort(np.concatenate([inside for *_, inside in found])), np.arange(len(spots)))
