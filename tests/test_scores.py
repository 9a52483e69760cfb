"""Scores, against numbers worked out by hand and against other libraries."""

import numpy as np
import pytest
from scipy import stats
from skimage.metrics import structural_similarity

from s2s_scverse import _scores
from s2s_scverse._lattice import KINDS, Lattice


def lattice_of(kind, index):
    return Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))


def rectangle(height, width):
    return np.stack(np.divmod(np.arange(height * width), width), axis=1)


def pair(n_spots, n_genes, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, (n_spots, n_genes)).astype(np.float32)
    return truth, (0.6 * truth + rng.normal(0, 0.5, truth.shape)).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(17, 23), (24, 16)])
def test_ssim_is_that_of_scikit_image_inside_a_rectangle(height, width):
    truth, prediction = pair(height * width, 3)
    data_range = np.array([5.0, 2.0, 9.0])
    weights = _scores.window(lattice_of("square", rectangle(height, width)))
    found = _scores.similarity_map(truth, prediction, weights, data_range)
    for gene, span in enumerate(data_range):
        images = (values[:, gene].reshape(height, width).astype(float) for values in (truth, prediction))
        _, expected = structural_similarity(
            *images, gaussian_weights=True, use_sample_covariance=False, data_range=span, full=True
        )
        inside = (slice(5, -5), slice(5, -5))
        np.testing.assert_allclose(found[:, gene].reshape(height, width)[inside], expected[inside], atol=1e-10)


@pytest.mark.parametrize(("kind", "n_positions"), [("square", 121), ("hex", 91), ("quincunx", 121)])
def test_window_falls_with_distance_on_every_lattice(kind, n_positions):
    lattice = lattice_of(kind, rectangle(11, 11) - 5)
    row = _scores.window(lattice).toarray()[60]
    assert lattice.index[60].tolist() == [0, 0]
    assert np.count_nonzero(row) == n_positions
    inside = row > 0
    distance = np.square(lattice.unit_coordinates).sum(axis=1)
    np.testing.assert_allclose(np.log(row[inside] / row[60]), -distance[inside] / 4.5, atol=1e-12)


@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_ssim_does_not_depend_on_order_or_orientation(kind):
    rng = np.random.default_rng(1)
    index = rectangle(12, 9)[rng.random(108) < 0.7]
    truth, prediction = pair(len(index), 2)
    lattice, span = lattice_of(kind, index), np.full(2, 4.0)
    expected = _scores.similarity_map(truth, prediction, _scores.window(lattice), span)
    order = rng.permutation(len(index))
    shuffled = _scores.window(lattice.subset(order))
    found = _scores.similarity_map(truth[order], prediction[order], shuffled, span)
    np.testing.assert_allclose(found, expected[order], atol=1e-12)
    for symmetry in lattice.kind.symmetries:
        turned = _scores.similarity_map(truth, prediction, _scores.window(lattice.transformed(symmetry)), span)
        np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_bootstrap_interval_is_that_of_the_mean_over_the_same_genes_for_all_without_missing_scores():
    rng = np.random.default_rng(0)
    scores = rng.normal(2, 1, (400, 2))
    scores[:, 1] += 1
    lower, upper = _scores.bootstrap_interval(scores, 2000, np.random.default_rng(1))
    half_width = 1.96 * scores.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(lower, scores.mean(axis=0) - half_width, atol=0.015)
    np.testing.assert_allclose(upper, scores.mean(axis=0) + half_width, atol=0.015)
    scores = np.array([[1.0, 2.0, np.nan], [3.0, 6.0, np.nan], [np.nan, np.nan, np.nan], [5.0, 10.0, np.nan]])
    ends = _scores.bootstrap_interval(scores, 200, np.random.default_rng(0))
    np.testing.assert_allclose(ends[:, 1], 2 * ends[:, 0])
    assert 1 <= ends[0, 0] < 3 < ends[1, 0] <= 5
    assert np.isnan(ends[:, 2]).all()


def test_holm_worked_out_by_hand():
    methods = ["a", "b", "c"]
    table = {name: np.random.default_rng(1).normal(size=(3, 30)) for name in _scores.SCORES}
    table["pcc"][2], table["ssim"][:] = np.nan, np.nan
    frame = _scores.pairs_frame(methods, table).set_index("score")
    assert frame.loc["rmse", ["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    smallest, middle, largest = np.sort(frame.loc["rmse", "pvalue"])
    expected = np.minimum([3 * smallest, max(3 * smallest, 2 * middle), max(3 * smallest, 2 * middle, largest)], 1)
    np.testing.assert_allclose(np.sort(frame.loc["rmse", "pvalue_holm"]), expected)
    known = frame.loc["pcc"].dropna(subset="pvalue")
    assert len(known) == 1
    assert (known["pvalue_holm"] == known["pvalue"]).all()
    assert frame.loc["ssim", "pvalue_holm"].isna().all()


def test_paired_test_is_that_of_scipy_on_the_genes_that_both_have():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 80), rng.normal(0, 1, 80)
    first[3], second[7] = np.nan, np.nan
    both = np.isfinite(first) & np.isfinite(second)
    n_genes, difference, statistic, pvalue = _scores.paired_test(first, second)
    expected = stats.wilcoxon(first[both], second[both])
    assert (n_genes, statistic, pvalue) == (78, expected.statistic, expected.pvalue)
    assert difference == pytest.approx((first - second)[both].mean())
    assert _scores.paired_test(np.ones(4), np.ones(4)) == (4, 0.0, 0.0, 1.0)
    n_genes, *rest = _scores.paired_test(np.full(3, np.nan), np.ones(3))
    assert n_genes == 0
    assert np.isnan(rest).all()
