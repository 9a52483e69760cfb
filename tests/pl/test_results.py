"""Plots of training, scores and reliability."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import s2s_scverse as s2s
from s2s_scverse.pl._evaluation import MAX_LINES

HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "loss_genes_sparser": [0.9, 0.8, 0.7],
        "loss_genes_dense": [0.8, 0.7, 0.6],
        "validation": [1.0, 0.4, 0.6],
        "validation_start": [0.8, 0.8, 0.8],
    }
)
SCORES = pd.DataFrame(
    {
        "gene": ["a", "b", "c"] * 2,
        "method": ["s2s"] * 3 + ["linear"] * 3,
        "pcc": [0.9, 0.7, np.nan, 0.5, 0.3, 0.1],
        "rmse": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)


@pytest.fixture
def trained(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    adata.uns["s2s"]["s2s"] = {"history": HISTORY.copy()}
    return adata


def test_weights_that_are_not_used(trained):
    trained.uns["s2s"]["s2s"] |= {"shrinkage": 0.0}
    _, error = s2s.pl.history(trained, show=False)
    assert error.get_legend_handles_labels()[1][-1] == "not used: shrinkage factor 0"


def test_training_is_drawn(trained):
    losses, error = s2s.pl.history(trained, show=False)
    assert [line.get_label() for line in losses.lines] == ["genes, sparser → sparse", "genes, sparse → dense"]
    assert losses.lines[1].get_ydata().tolist() == [0.8, 0.7, 0.6]
    assert losses.get_ylim()[0] == 0
    start, network, used = error.lines
    assert list(start.get_ydata()) == [1, 1]
    np.testing.assert_allclose(network.get_ydata(), [1.25, 0.5, 0.75])
    assert (used.get_xdata()[0], used.get_ydata()[0]) == (2, pytest.approx(0.75))


@pytest.fixture
def scored(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    adata.uns["s2s"]["evaluation"] = {"scores": SCORES.copy()}
    return adata


def dots(axis):
    return [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "o"]


def test_scores_are_drawn(scored):
    pcc, rmse = s2s.pl.evaluation(scored, ["pcc", "rmse"], show=False)
    assert [axis.get_title() for axis in (pcc, rmse)] == ["PCC", "RMSE"]
    assert [axis.get_xlabel() for axis in (pcc, rmse)] == ["higher is better", "lower is better"]
    assert [label.get_text() for label in pcc.get_yticklabels()] == ["s2s", "linear"]
    assert rmse.yaxis_inverted()
    np.testing.assert_equal(dots(pcc), [[0.9, 0.7, np.nan], [0.5, 0.3, 0.1]])
    assert dots(rmse) == [[1, 2, 3], [4, 5, 6]]
    # Means are over genes that all methods have a score for.
    assert [text.get_text() for text in pcc.texts] == ["0.800", "0.400", "mean"]
    assert [text.get_text() for text in rmse.texts] == ["2.000", "5.000", "mean"]


def test_methods_come_in_the_order_asked_for_whatever_the_order_of_rows(scored):
    scored.uns["s2s"]["evaluation"]["scores"] = SCORES.iloc[::-1].assign(pcc=np.nan)
    rmse, pcc = s2s.pl.evaluation(scored, ["rmse", "pcc"], keys=["linear", "s2s"], show=False)
    assert [sorted(xs) for xs in dots(rmse)] == [[4, 5, 6], [1, 2, 3]]
    assert [text.get_text() for text in pcc.texts] == ["–", "–", "mean"]


@pytest.mark.parametrize(("n_genes", "joined"), [(MAX_LINES, True), (MAX_LINES + 1, False)])
def test_many_genes_are_not_joined_by_lines(scored, n_genes, joined):
    names = [f"g{i}" for i in range(n_genes)]
    scored.uns["s2s"]["evaluation"]["scores"] = pd.DataFrame({"gene": names, "method": "s2s", "pcc": 0.5})
    axis = s2s.pl.evaluation(scored, "pcc", show=False)
    assert (len(axis.lines) > n_genes) == joined


@pytest.fixture
def trusted(make_lattice, build_section):
    adata = build_section(make_lattice(), np.zeros((6, 3)), np.ones(6), genes="abc", s2s=np.zeros((6, 3)))
    adata.var["s2s_reliability"] = [0.2, 0.9, 0.6]
    return adata


def test_genes_are_drawn_from_the_most_reliable(trusted):
    axis = s2s.pl.reliability(trusted, show=False)
    x, y = axis.lines[0].get_data()
    assert_allclose([x, y], [[1, 2, 3], [0.9, 0.6, 0.2]])
    assert [text.get_text() for text in axis.texts] == ["b", "c", "a"]


def test_genes_asked_for_are_labelled_in_every_panel(trusted):
    trusted.uns["s2s"]["evaluation"] = {
        "scores": pd.DataFrame({"gene": list("abc"), "method": "s2s", "pcc": [0.1, 0.8, 0.7]})
    }
    axes = s2s.pl.reliability(trusted, genes=["a", "c"], show=False)
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [["c", "a"], ["c", "a"]]
    assert {text.get_style() for axis in axes for text in axis.texts} == {"italic"}
    with pytest.raises(KeyError, match="genes not found"):
        s2s.pl.reliability(trusted, genes="z", show=False)
    trusted.var.loc["c", "s2s_reliability"] = np.nan
    with pytest.raises(ValueError, match="no reliability of c: these genes were not imputed"):
        s2s.pl.reliability(trusted, genes=["a", "c"], show=False)


def test_what_came_true_is_drawn_beside(trusted):
    scores = pd.DataFrame({"gene": list("abc"), "method": "s2s", "pcc": [0.1, 0.8, np.nan]})
    trusted.uns["s2s"]["evaluation"] = {"scores": scores}
    _, axis = s2s.pl.reliability(trusted, show=False)
    x, y = axis.lines[1].get_data()
    assert_allclose([x, y], [[0.9, 0.2], [0.8, 0.1]])
    assert not axis.get_title()
    trusted.uns["s2s"]["evaluation"]["scores"] = scores.assign(pcc=[0.1, 0.8, 0.7])
    assert s2s.pl.reliability(trusted, show=False)[1].get_title() == "Spearman 1.00, means 0.57 and 0.53"
    assert len(s2s.pl.reliability(trusted, key="s2s", return_fig=True).axes) == 2
