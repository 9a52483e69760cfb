import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from s2s_scverse._predict import (
    KERNELS,
    NOISE_RATIOS,
    Kernel,
    Kriging,
    PCAKriging,
    Settings,
    noise_weights_of,
    state_kriging,
)
from s2s_scverse._predict._eigen import eigenvectors
from s2s_scverse._predict._kriging import correlation


def ordinary_kriging(spots, values, sites, kernel, noise_ratio, weights=1):
    """Prediction and relative variance from the textbook's linear system, in float64."""
    n = len(spots)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = correlation(kernel, cdist(spots, spots)) + noise_ratio * np.diag(
        np.mean(weights) / np.broadcast_to(weights, n)
    )
    system[:n, n] = system[n, :n] = 1
    right = np.ones((n + 1, len(sites)))
    right[:n] = correlation(kernel, cdist(spots, sites))
    solution = np.linalg.solve(system, right)
    return solution[:n].T @ values, 1 - np.einsum("ns,ns->s", solution, right)


@pytest.mark.parametrize(("family", "at_one"), [("exponential", np.exp(-0.5)), ("matern32", 1.5 * np.exp(-0.5))])
def test_kernels(family, at_one):
    length = 2.0 if family == "exponential" else 2 * np.sqrt(3)
    assert_allclose(correlation(Kernel(family, length), np.array([0.0, 1.0])), [1, at_one], rtol=1e-6)


@pytest.mark.parametrize("kernel", [KERNELS[0], KERNELS[4], KERNELS[6], KERNELS[9]])
@pytest.mark.parametrize("noise_ratio", [NOISE_RATIOS[0], NOISE_RATIOS[6], NOISE_RATIOS[-1]])
def test_equals_the_textbook_system(kernel, noise_ratio, spots, values, sites):
    kriging = Kriging(spots, sites, kernels=[kernel], noise_ratios=[noise_ratio])
    found = kriging.predict(values)
    expected, variance = ordinary_kriging(spots, values, sites, kernel, noise_ratio)
    assert_allclose(found.sites, expected, atol=3e-4)
    assert_allclose(kriging.relative_variance(found.settings)[:, 0], variance, atol=3e-4)


def loo_error(found, values):
    return np.square(values - found.loo, dtype=float).mean(axis=0)


def test_leave_one_out_equals_refits_and_the_choice_is_close_to_the_best_of_the_grid(spots, values, sites):
    kernel, noise_ratio = Kernel("exponential", 2.0), 0.25
    found = Kriging(spots, sites, kernels=[kernel], noise_ratios=[noise_ratio]).predict(values)
    refits = np.empty_like(values)
    for i in range(len(spots)):
        others = np.arange(len(spots)) != i
        refits[i] = ordinary_kriging(spots[others], values[others], spots[[i]], kernel, noise_ratio)[0]
    assert_allclose(found.loo, refits, atol=1e-4)
    assert_allclose(loo_error(found, values), ((values - refits) ** 2).mean(axis=0), rtol=1e-4)
    kriging = Kriging(spots, sites)
    errors = [
        loo_error(Kriging(spots, sites, kernels=[kernel], noise_ratios=[noise_ratio]).predict(values), values)
        for kernel in KERNELS
        if kernel.family == "exponential"
        for noise_ratio in NOISE_RATIOS
    ]
    assert np.all(loo_error(kriging.predict(values), values) <= 1.02 * np.min(errors, axis=0))


def test_finds_length_and_noise_of_a_simulated_gene():
    rng = np.random.default_rng(3)
    spots = np.mgrid[0:30, 0:30].reshape(2, -1).T.astype(float)
    covariance = correlation(Kernel("exponential", 4.0), cdist(spots, spots)).astype(float)
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(900))
    values = root @ rng.normal(size=(900, 20)) + rng.normal(size=(900, 20))
    found = Kriging(spots, spots[:1]).predict(values)
    assert np.median(np.asarray(NOISE_RATIOS)[found.settings.noise_ratio]) in (0.5, 1.0, 2.0)
    signal = found.variance * np.asarray(NOISE_RATIOS)[found.settings.noise_ratio]
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


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_eigenvectors(n, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("s2s_scverse._predict._eigen._ssyevd", lambda: None)
    places = np.random.default_rng(0).random((n, 2))
    matrix = correlation(KERNELS[0], cdist(places, places))
    eigenvalues, vectors = eigenvectors(matrix.copy())
    assert_allclose((vectors * eigenvalues) @ vectors.T, matrix, atol=1e-5)
    assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-5)
    assert (np.diff(eigenvalues) >= 0).all()


def test_weighted_kriging_is_that_of_the_linear_system_but_for_a_shift():
    rng = np.random.default_rng(2)
    spots, sites = rng.uniform(0, 9, (60, 2)), rng.uniform(0, 9, (15, 2))
    values, precision = rng.normal(size=(60, 3)).astype(np.float32) + 4, rng.uniform(0.2, 3, 60)
    known = Kernel("exponential", 2.0), 0.5
    kriging = Kriging(spots, sites, noise_weights=precision, kernels=known[:1], noise_ratios=known[1:])
    settings = Settings(np.zeros(3, int), np.zeros(3, int))
    found = kriging.predict(values, settings)
    left_out = np.stack(
        [
            ordinary_kriging(spots[kept], values[kept], spots[[i]], *known, precision[kept])[0][0]
            for i, kept in enumerate(~np.eye(60, dtype=bool))
        ]
    )
    # The noise ratio is relative to the mean precision, which changes when a spot is left out.
    shift = (values - left_out).mean(axis=0)
    expected, variance = ordinary_kriging(spots, values, sites, *known, precision)
    assert_allclose(found.sites, expected + shift, atol=0.02)
    assert_allclose(kriging.relative_variance(settings)[:, 0], variance, atol=1e-4)
    assert_allclose(found.loo, left_out + shift, atol=0.05)
    assert_allclose((values - found.loo).mean(axis=0), 0, atol=1e-5)


def test_spots_that_are_imprecise_beside_their_neighbours_count_less():
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
