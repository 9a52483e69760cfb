import numpy as np
import pytest
from numpy.testing import assert_allclose

from s2s_scverse._calibration import LEVELS, Calibration, Pool, counting_noise, denoise, gain


def calibrate(values, left_out):
    return Calibration.fit(values, left_out, Pool.fit(values, left_out))


def simulated(n=800, n_genes=30, signal=0.6, seed=0):
    """Values, and predictions of them that are as good as can be: what is left has a variance that grows with them."""
    rng = np.random.default_rng(seed)
    predicted = 2 + signal * rng.normal(size=(n, n_genes))
    spread = np.sqrt(np.maximum(0.2, 0.5 + 0.3 * (predicted - 2)))
    return (predicted + spread * rng.normal(size=predicted.shape)).astype(np.float32), predicted.astype(np.float32)


def test_correlations_errors_and_intervals_come_true():
    values, predicted = simulated()
    found = calibrate(values, predicted)
    true = [np.corrcoef(values[:, g], predicted[:, g])[0, 1] for g in range(30)]
    assert found.reliability.mean() == pytest.approx(np.mean(true), abs=0.02)
    std = found.std(predicted)
    for part in (predicted > 2.5, predicted < 1.5):  # errors grow with the values
        assert std[part].mean() == pytest.approx(np.std((values - predicted)[part]), rel=0.1)
    new, again = simulated(seed=1)
    off = np.abs(new - again) / found.std(again)
    for level, width in zip(LEVELS, Pool.fit(values, predicted).widths, strict=True):
        assert (off <= width).mean() == pytest.approx(level, abs=0.02)
    assert (off <= 1.645).mean() == pytest.approx(0.9, abs=0.01)
    assert_allclose((off <= 1.645).mean(axis=0), 0.9, atol=0.05)


def test_overconfident_predictions_are_believed_less_and_timid_ones_are_as_reliable():
    values, predicted = simulated()
    wild = 2 + 2 * (predicted - 2)
    pool = Pool.fit(values, wild)
    assert pool.factor == pytest.approx(0.5, abs=0.03)
    assert pool.factor_variance < 0.01
    timid = (2 + 0.8 * (predicted - 2)).astype(np.float32)
    reliability = [calibrate(values, each).reliability.mean() for each in (predicted, timid)]
    assert reliability[1] == pytest.approx(reliability[0], abs=0.01)


def test_means_of_folds_do_not_count_against_predictions():
    """Predictions contain the mean of the other folds."""
    values, predicted = simulated(n=40, n_genes=300, signal=0.2)
    folds = np.arange(40) % 5
    for number in range(5):
        predicted[folds == number] += 2 * (values[folds != number].mean(axis=0) - 2)
    assert Pool.fit(values, predicted, folds=folds).factor == pytest.approx(1, abs=0.08)
    assert Pool.fit(values, predicted).factor < 0.7


def test_genes_that_fail_when_left_out_or_are_seen_in_a_handful_of_spots_are_not_reliable():
    values, predicted = simulated(n=400)
    chance = np.random.default_rng(1).permutation(values)
    values[:, 20:] = chance[:, 20:]
    found = calibrate(values, predicted).reliability
    assert found[:20].min() > found[20:].max() + 0.15
    values, predicted = simulated(n_genes=10)
    values[:, 0] = predicted[:, 0] = 0
    values[[5, 50, 500], 0] = predicted[[5, 50, 500], 0] = 3
    assert calibrate(values, predicted).reliability[0] < 0.4


def test_gain_asks_only_sites_at_other_distances_than_spots_left_out():
    _, predicted = simulated()
    at_rim = predicted[:300] * 2  # as far from spots as spots left out are from others
    distance = np.tile([1.0, 1.4], 400)
    assert gain(predicted, distance, at_rim, np.full(300, 1.0)) == (1, 1)
    half = np.repeat([0.5, 1.0], 150)
    found = gain(predicted, distance, 1.2 * predicted[:300], half)
    assert found == pytest.approx((1.1, 1.2), abs=0.03)
    assert gain(predicted, distance, 0.5 * predicted[:300], 4 * half) == pytest.approx((0.5, 1), abs=0.02)
    assert gain(predicted, distance, predicted[:0], half[:0]) == (1, 1)


def test_constant_genes():
    values, predicted = simulated(n_genes=3)
    values[:, 1] = predicted[:, 1] = 2
    found = calibrate(values, predicted)
    assert np.isnan(found.reliability[1])
    assert np.isfinite(found.reliability[[0, 2]]).all()
    assert found.std(predicted)[:, 1].max() == 0
    nothing = calibrate(values[:, 1:2], predicted[:, 1:2])
    assert np.isnan(nothing.reliability).all()


@pytest.mark.parametrize("logged", [True, False])
def test_denoised_values_are_nearer_to_the_truth_than_either(logged):
    rng = np.random.default_rng(4)
    unit = rng.uniform(0.3, 0.6, 500)
    expected = rng.uniform(1, 4, (500, 8))
    rate = expected * rng.gamma(6, 1 / 6, expected.shape)
    values = rng.poisson(rate / unit[:, None]) * unit[:, None]
    if logged:
        expected, rate, values = (np.log1p(each) for each in (expected, rate, values))
    found = calibrate(values.astype(np.float32), expected.astype(np.float32))
    cleaned, left = denoise(values, expected, unit, found, logged=logged)

    def error(guess):
        return np.square(guess - rate).mean()

    assert error(cleaned) < 0.9 * min(error(values), error(expected))
    assert np.square(left).mean() == pytest.approx(error(cleaned), rel=0.25)


def test_denoised_values_keep_the_effect_of_depth():
    rng = np.random.default_rng(5)
    unit = np.exp(rng.normal(0, 0.8, 600))
    rate = np.exp(rng.normal(0, 0.4, (600, 6)))
    values, other = np.log1p(unit[:, None] * rng.poisson(rate / unit[:, None], (2, 600, 6)))
    predicted = np.broadcast_to(values.mean(axis=0), values.shape).astype(np.float32)
    found = calibrate(values.astype(np.float32), predicted)
    cleaned, _ = denoise(values.astype(np.float32), predicted, unit, found, logged=True)

    def correlation(guess):
        return np.mean([np.corrcoef(guess[:, g], other[:, g])[0, 1] for g in range(6)])

    assert correlation(cleaned) > correlation(values) + 0.02


def test_noise_of_logged_counts_is_that_of_drawn_ones():
    rng = np.random.default_rng(0)
    unit = np.array([5.0, 0.5, 0.02])
    for rate in (0.05, 1.0, 12.0, 29.0, 200.0):
        drawn = np.log1p(unit[:, None] * rng.poisson(rate, (3, 200_000)))
        found = counting_noise(drawn.mean(axis=1, keepdims=True), unit, logged=True)
        assert_allclose(found[:, 0], drawn.var(axis=1), rtol=0.06)
