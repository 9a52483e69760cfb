"""Statistics over conditional draws."""

import numpy as np
import pytest
from scipy.stats import t as student

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def dense():
    adata = s2s.datasets.simulated_tissue(n_rows=16, n_cols=16, n_genes=6, rng=1)
    dense = s2s.pp.grid(adata, upsample=2)
    s2s.pp.normalize(dense)
    s2s.tl.impute(dense, preset="quick", progress=False)
    return dense


def propagate(dense, statistic, n=6, **arguments):
    return s2s.tl.propagate(dense, statistic, n, progress=False, **arguments)


def test_estimates_and_intervals_follow_from_the_draws(dense):
    def variance_of_a_draw_that_is_changed(draw):
        assert "new" not in draw.obs
        found = draw.to_df().var(ddof=0)
        draw.X[:], draw.obs["new"] = 0, 1
        return found

    drawn = np.stack([draw.X.var(axis=0) for draw in s2s.get.draws(dense, 6, rng=3)])
    before = dense.layers["s2s"].copy()
    found = propagate(dense, variance_of_a_draw_that_is_changed, rng=3, level=0.8)
    np.testing.assert_array_equal(dense.layers["s2s"], before)
    assert "new" not in dense.obs
    assert found.index.equals(dense.var_names)
    assert list(found) == ["estimate", "sd", "lower", "upper"]
    np.testing.assert_allclose(found["estimate"], drawn.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["sd"], drawn.std(axis=0, ddof=1) * np.sqrt(7 / 6), rtol=1e-4)
    half = student.ppf(0.9, 5) * found["sd"]
    np.testing.assert_allclose(found["upper"] - found["estimate"], half, rtol=1e-6)
    np.testing.assert_allclose(found["estimate"] - found["lower"], half, rtol=1e-6)


def test_sampling_variances_are_combined_by_rubins_rules(dense):
    values = iter([1.0, 2.0, 3.0])
    found = propagate(dense, lambda draw: (next(values), 0.5), n=3).iloc[0]
    total = 0.5 + 4 / 3
    degrees = 2 * (1 + 0.5 / (4 / 3)) ** 2
    assert found["estimate"] == 2
    assert found["sd"] == pytest.approx(np.sqrt(total))
    assert found["imputation_share"] == pytest.approx(4 / 3 / total)
    assert found["upper"] == pytest.approx(2 + student.ppf(0.95, degrees) * np.sqrt(total))
    assert found["p_value"] == pytest.approx(2 * student.sf(2 / np.sqrt(total), degrees))


def test_results_of_any_shape_are_matched_by_name(dense):
    one = propagate(dense, lambda draw: float(draw.X.mean()), n=2)
    assert one.shape == (1, 4)
    array = propagate(dense, lambda draw: np.corrcoef(draw.X.T), n=2)
    assert array.index.tolist() == [(i, j) for i in range(6) for j in range(6)]
    table = propagate(dense, lambda draw: draw.to_df().describe(), n=2)["estimate"]
    assert table["mean", dense.var_names[0]] == pytest.approx(dense.layers["s2s"][:, 0].mean(), rel=0.1)
    # A constant statistic has no uncertainty, and nothing divides by zero.
    constant = propagate(dense, lambda draw: draw.n_obs, n=2).iloc[0]
    assert constant["lower"] == constant["upper"] == constant["estimate"] == dense.n_obs
    means = lambda draw: draw.to_df().mean().sort_values()  # noqa: E731
    turn = iter([1, -1])
    found = propagate(dense, lambda draw: means(draw)[:: next(turn)], n=2)
    np.testing.assert_allclose(found["estimate"][dense.var_names], dense.layers["s2s"].mean(axis=0), rtol=0.1)
