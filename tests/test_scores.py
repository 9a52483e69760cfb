"""Scores, against numbers worked out by hand and against other libraries."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from s2s_scverse import _scores
from s2s_scverse import _scores as _comparison
from s2s_scverse._lattice import KINDS, Lattice


def lattice_of(kind, index):
    return Lattice(KINDS[kind], index, np.asarray(KINDS[kind].unit_basis), np.zeros(2))


def rectangle(height, width):
    return np.stack(np.divmod(np.arange(height * width), width), axis=1)


def pair(n_spots, n_genes, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 1, (n_spots, n_genes)).astype(np.float32)
    return truth, (0.6 * truth + rng.normal(0, 0.5, truth.shape)).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [pytest.param(17, 23, id="odd"), pytest.param(24, 16, id="even")])
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


def test_bootstrap_interval_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    scores = rng.normal(2, 1, (400, 2))
    scores[:, 1] += 1
    lower, upper = _comparison.bootstrap_interval(scores, 2000, np.random.default_rng(1))
    half_width = 1.96 * scores.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(lower, scores.mean(axis=0) - half_width, atol=0.015)
    np.testing.assert_allclose(upper, scores.mean(axis=0) + half_width, atol=0.015)


def test_holm_worked_out_by_hand():
    found = _comparison.holm(np.array([0.04, 0.01, np.nan, 0.03, 0.9]))
    np.testing.assert_allclose(found, [0.09, 0.04, np.nan, 0.09, 0.9])
    np.testing.assert_allclose(_comparison.holm(np.array([0.6, 0.7])), [1, 1])
    assert len(_comparison.holm(np.array([]))) == 0
