"""Plots of training, scores and reliability."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import s2s_scverse as s2s
from s2s_scverse.pl._image_features import leading_components

SCORES = pd.DataFrame({"gene": ["a", "b", "c"] * 2, "method": ["s2s"] * 3 + ["linear"] * 3})
SCORES = SCORES.assign(pcc=[0.9, 0.7, np.nan, 0.5, 0.3, 0.1], rmse=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def test_training_is_drawn(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    errors = {"validation": [1.0, 0.4, 0.6], "validation_start": [0.8, 0.8, 0.8]}
    parts = {"loss_genes_sparser": [0.9, 0.8, 0.7], "loss_genes_dense": [0.8, 0.7, 0.6]}
    adata.uns["s2s"]["s2s"] = {"history": pd.DataFrame({"epoch": [0, 1, 2], **parts, **errors})}
    losses, error = s2s.pl.history(adata, show=False)
    assert [line.get_label() for line in losses.lines] == ["genes, sparser → sparse", "genes, sparse → dense"]
    assert losses.lines[1].get_ydata().tolist() == [0.8, 0.7, 0.6]
    assert losses.get_ylim()[0] == 0
    start, network, used = error.lines
    assert list(start.get_ydata()) == [1, 1]
    np.testing.assert_allclose(network.get_ydata(), [1.25, 0.5, 0.75])
    assert (used.get_xdata()[0], used.get_ydata()[0]) == (2, pytest.approx(0.75))
    adata.uns["s2s"]["s2s"]["shrinkage"] = 0.0
    _, error = s2s.pl.history(adata, show=False)
    assert error.get_legend_handles_labels()[1][-1] == "not used: shrinkage factor 0"


@pytest.fixture
def scored(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    adata.uns["s2s"]["evaluation"] = {"scores": SCORES.copy()}
    return adata


def dots(axis):
    return [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "o"]


def test_scores_are_drawn_in_the_order_asked_for(scored):
    pcc, rmse = s2s.pl.evaluation(scored, ["pcc", "rmse"], show=False)
    assert [axis.get_xlabel() for axis in (pcc, rmse)] == ["higher is better", "lower is better"]
    assert [label.get_text() for label in pcc.get_yticklabels()] == ["s2s", "linear"]
    np.testing.assert_equal(dots(pcc), [[0.9, 0.7, np.nan], [0.5, 0.3, 0.1]])
    assert dots(rmse) == [[1, 2, 3], [4, 5, 6]]
    # Means are over genes that all methods have a score for.
    assert [text.get_text() for text in pcc.texts] == ["0.800", "0.400", "mean"]
    assert [text.get_text() for text in rmse.texts] == ["2.000", "5.000", "mean"]
    scored.uns["s2s"]["evaluation"]["scores"] = SCORES.iloc[::-1].assign(pcc=np.nan)
    rmse, pcc = s2s.pl.evaluation(scored, ["rmse", "pcc"], keys=["linear", "s2s"], show=False)
    assert [sorted(xs) for xs in dots(rmse)] == [[4, 5, 6], [1, 2, 3]]
    assert [text.get_text() for text in pcc.texts] == ["–", "–", "mean"]


@pytest.fixture
def trusted(make_lattice, build_section):
    adata = build_section(make_lattice(), np.zeros((6, 3)), np.ones(6), genes="abc", s2s=np.zeros((6, 3)))
    adata.var["s2s_reliability"] = [0.2, 0.9, 0.6]
    return adata


def test_genes_are_drawn_from_the_most_reliable_beside_what_came_true_and_labelled(trusted):
    axis = s2s.pl.reliability(trusted, show=False)
    x, y = axis.lines[0].get_data()
    assert_allclose([x, y], [[1, 2, 3], [0.9, 0.6, 0.2]])
    assert [text.get_text() for text in axis.texts] == ["b", "c", "a"]
    scores = pd.DataFrame({"gene": list("abc"), "method": "s2s", "pcc": [0.1, 0.8, np.nan]})
    trusted.uns["s2s"]["evaluation"] = {"scores": scores}
    _, axis = s2s.pl.reliability(trusted, show=False)
    x, y = axis.lines[1].get_data()
    assert_allclose([x, y], [[0.9, 0.2], [0.8, 0.1]])
    assert not axis.get_title()
    trusted.uns["s2s"]["evaluation"]["scores"] = scores.assign(pcc=[0.1, 0.8, 0.7])
    axes = s2s.pl.reliability(trusted, genes=["a", "c"], show=False)
    assert axes[1].get_title() == "Spearman 1.00, means 0.57 and 0.53"
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [["c", "a"], ["c", "a"]]
    trusted.var.loc["c", "s2s_reliability"] = np.nan
    with pytest.raises(ValueError, match="no reliability of c: these genes were not imputed"):
        s2s.pl.reliability(trusted, genes=["a", "c"], show=False)


@pytest.fixture
def described(make_lattice, build_section):
    """Descriptors follow x, its negative, y, and nothing."""
    lattice = make_lattice("square", 3, 3)
    adata = build_section(lattice, np.arange(9), np.ones(9))
    x, y = (lattice.coordinates - lattice.coordinates.mean(axis=0)).T
    adata.obsm["s2s_image"] = np.column_stack([2 * x, -3 * x - 1, y, np.ones(9)]).astype(np.float32)
    names = ["eosin_mean", "eosin_std", "blue", "none"]
    adata.uns["s2s"]["image"] = {"s2s_image": {"names": np.array(names, dtype=object), "extractor": "stain"}}
    return adata


def test_components_of_known_descriptors(described):
    scores, parts, loadings = leading_components(described, "s2s_image", 5)
    np.testing.assert_allclose(parts, [2 / 3, 1 / 3])  # constant ones do not count
    x, y = described.obsm["spatial"].T
    np.testing.assert_allclose(np.abs(np.corrcoef(scores[:, 0], x)[0, 1]), 1, atol=1e-6)
    np.testing.assert_allclose(np.corrcoef(scores[:, 1], y)[0, 1], 1, atol=1e-6)
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=1e-6)
    assert loadings.shape == (2, 4)
    axes = s2s.pl.image_features(described, figsize=(9, 3), show=False)
    assert [axis.get_xlabel().replace("\n", " ") for axis in axes[0]][1] == "blue"
