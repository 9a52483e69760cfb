from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from s2s_scverse._predict import (
    Coregionalization,
    CrossValidation,
    Kriging,
    PCAKriging,
    Stack,
    StackingWeights,
    fit,
    folds,
    state_kriging,
)
from s2s_scverse._predict._cross_validation import _simplex


@pytest.fixture(scope="module")
def section():
    """400 spots, 30 genes: two patterns, and noise that the genes of a spot share."""
    rng = np.random.default_rng(5)
    spots = np.mgrid[0:20, 0:20].reshape(2, -1).T.astype(float)
    sites = rng.uniform(0, 19, (300, 2))
    loadings = rng.normal(size=(2, 30))

    def signal(points):
        return np.column_stack([np.sin(points[:, 0] / 2), np.cos(points[:, 1] / 3)]) @ loadings

    shared = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 30))
    values = (signal(spots) + 1.5 * shared + 0.5 * rng.normal(size=(400, 30))).astype(np.float32)
    return spots, values, sites, signal(sites)


def cross_validated(spots, sites, values, covariates=None):
    """Cross-validation of the stack on spots that, unlike those of a section, lie anywhere."""
    at, measured = np.vstack([spots, sites]), np.arange(len(spots) + len(sites)) < len(spots)
    section = SimpleNamespace(measured=measured, wanted=~measured, values=values, depth=None, covariates=covariates)
    section.positions = lambda measured: at
    return CrossValidation(section, "stack", seed=0)


@pytest.fixture(scope="module")
def validation(section):
    """Cross-validation that has determined its weights."""
    spots, values, sites, _ = section
    return cross_validated(spots, sites, values)


def error(maps, truth):
    return float(np.sqrt(((maps - truth) ** 2).mean()))


def test_shared_noise_is_not_taken_for_signal_and_a_model_that_fails_is_left_out(section, validation):
    spots, values, sites, truth = section
    single = Kriging(spots, sites).predict(values).sites
    components = PCAKriging(Kriging(spots, sites), values).maps(values)[1]
    found = Coregionalization(spots, sites, values, shrinkage=0.05).maps(values)[0]
    assert found.dtype == np.float32
    assert error(found, truth) < 0.75 * error(single, truth)
    assert error(found, truth) < 0.95 * error(components, truth)
    assert error(Coregionalization(spots, sites, values).maps(values)[0], truth) > 0.6
    assert validation.stacking.members[4] < 0.01


def test_weights_are_a_mean_and_do_not_depend_on_the_order_of_spots(section, validation):
    spots, values, sites, _ = section
    beyond = np.vstack([sites, sites + np.array([25, 0])])
    weights = cross_validated(spots, beyond, values).stacking
    assert min(weights.members) >= 0
    assert sum(weights.members) == pytest.approx(1)
    assert 0 < weights.far < 1
    assert validation.stacking.far == 1  # asked for only where sites are far from spots
    order = np.random.default_rng(0).permutation(400)
    again = cross_validated(spots[order], beyond, values[order]).stacking
    assert_allclose([*again.members, again.far], [*weights.members, weights.far], atol=1e-2)


def test_far_from_all_spots_the_stack_passes_over_to_pca_kriging(section):
    spots, values, _, _ = section
    line = np.column_stack([19 + np.array([0.5, 1.5, 2.0, 2.5, 3.0, 6.0]), np.full(6, 8.0)])
    members = (0.0, 0.0, 0.0, 1.0, 0.0)
    near, pca, _, state = Stack(Kriging(spots, line), values, weights=StackingWeights(members)).maps(values)
    half = Stack(Kriging(spots, line), values, weights=StackingWeights(members, far=0.5)).maps(values)[0]
    assert_allclose(near, state)
    share = 0.5 * np.array([0, 0, 1 / 3, 2 / 3, 1, 1])[:, None]
    assert_allclose(half, state + share * (pca - state), atol=1e-6)


def test_a_stack_is_what_its_weights_say(section, validation):
    spots, values, sites, truth = section
    kriging = Kriging(spots, sites)
    stack = Stack(kriging, values, weights=StackingWeights((0.1, 0.2, 0.25, 0.15, 0.3)))
    found, pca, single, state = stack.maps(values)
    many = PCAKriging(kriging, values).maps(values)
    few = PCAKriging(kriging, values, n_components=10).maps(values)
    coregionalized = Coregionalization(spots, sites, values).maps(values)[0]
    expected = 0.1 * single + 0.2 * few[1] + 0.25 * many[1] + 0.15 * state + 0.3 * coregionalized
    assert_allclose(found, expected, atol=1e-4)
    assert_allclose(pca, (many[1] + many[2]) / 2, atol=1e-5)
    assert_allclose(single, many[2], atol=1e-5)
    assert_allclose(state, state_kriging(PCAKriging(kriging, values)).maps(values)[0], atol=1e-5)
    stack.weights = validation.stacking
    assert error(stack.maps(values)[0], truth) < error(many[0], truth)


def test_simplex_by_hand():
    assert_allclose(_simplex(np.eye(5), np.array([0.5, 0.5, 0.0, -9.0, 0.0])), [0.5, 0.5, 0, 0, 0], atol=1e-4)
    # min (x - 1)^2 + (y - 0.4)^2 with x + y = 1: equal residuals.
    assert_allclose(_simplex(np.eye(5), np.array([1.0, 0.4, -9, -9, -9])), [0.8, 0.2, 0, 0, 0], atol=1e-4)


def test_spots_are_predicted_from_others_alone(section, validation):
    spots, values, _, _ = section
    weights = validation.stacking
    found = validation.predict(values)
    assert_array_equal(validation.chosen, np.arange(400))
    assert_allclose(found, validation.predict_informative(), atol=1e-5)
    first = folds(values) == 0
    other = values.copy()
    other[first] = 7
    assert_array_equal(validation.predict(other)[first], found[first])
    stack = Stack(Kriging(spots[~first], spots[first]), values[~first], weights=weights)
    assert_allclose(found[first], stack.maps(values[~first])[0], atol=1e-5)
    # Settings chosen with all spots may be given; they are nearly those that each four fifths choose.
    chosen = Stack(Kriging(spots, spots[:0]), values, weights=weights).tune(values)
    assert np.sqrt(np.square(validation.predict(values, chosen) - found).mean()) < 0.05 * values.std()


@pytest.fixture(scope="module")
def guided():
    """Genes follow a pattern too fine for the spots, which one of four covariates shows; functions of covariates."""
    rng = np.random.default_rng(0)
    sites = np.stack(np.meshgrid(np.arange(24.0), np.arange(24.0)), axis=-1).reshape(-1, 2) / 2
    measured = np.all(sites % 1 == 0, axis=1)
    pattern = rng.standard_normal(len(sites))
    truth = np.column_stack([pattern, np.sin(sites[:, 0] / 3)]) @ rng.standard_normal((2, 30))
    values = (truth + 0.5 * rng.standard_normal(truth.shape))[measured].astype(np.float32)
    other = rng.standard_normal((len(sites), 3))
    covariates = np.column_stack([pattern + 0.2 * rng.standard_normal(len(sites)), other])

    def weights(shown):
        ordered = None if shown is None else np.vstack([shown[measured], shown[~measured]])
        return cross_validated(sites[measured], sites[~measured], values, ordered).stacking

    def predicted(method, shown=None):
        options = {} if shown is None else {"covariates": (shown[measured], shown[~measured])}
        options |= {"stacking": weights(shown)} if method == "stack" else {}
        return fit(method, sites[measured], sites[~measured], values, **options).maps(values)[0]

    def correlation(found):
        return np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(found.T, truth[~measured].T, strict=True)])

    hidden = truth[~measured]
    return SimpleNamespace(
        covariates=covariates, truth=hidden, weights=weights, predicted=predicted, correlation=correlation
    )


@pytest.mark.parametrize("method", ["stack", "kriging", "pca_kriging", "state_kriging"])
def test_a_covariate_shows_what_spots_cannot(guided, method):
    with_covariates, without = guided.predicted(method, guided.covariates), guided.predicted(method)
    assert guided.correlation(with_covariates) > guided.correlation(without) + 0.2


def test_useless_covariates_do_no_harm(guided):
    rng, covariates = np.random.default_rng(1), guided.covariates
    plain, kriged = guided.predicted("stack"), guided.predicted("kriging")
    for useless in (rng.permutation(covariates), 0 * covariates, rng.standard_normal((len(covariates), 8))):
        assert error(guided.predicted("stack", useless), guided.truth) < 1.01 * error(plain, guided.truth)
        drift = guided.predicted("kriging", useless[:, :2])
        assert guided.correlation(drift) > guided.correlation(kriged) - 0.04
