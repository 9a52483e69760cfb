import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import s2s_scverse as s2s
from s2s_scverse.pl._evaluation import score_panels

TABLE = pd.DataFrame(
    {
        "gene": ["a", "b", "c"] * 2,
        "method": ["s2s"] * 3 + ["linear"] * 3,
        "pcc": [0.9, 0.7, np.nan, 0.5, 0.3, 0.1],
        "rmse": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)


@pytest.fixture
def scored():
    dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=16, n_cols=16, n_genes=8), upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    for method in ("nearest", "linear"):
        s2s.tl.interpolate(dense, method)
    s2s.tl.evaluate(dense, ["nearest", "linear"])
    return dense


def test_panels_are_genes_by_methods():
    pcc, rmse = score_panels(TABLE, ["pcc", "rmse"], None)
    assert (pcc.score, pcc.methods) == ("pcc", ("s2s", "linear"))
    np.testing.assert_equal(pcc.by_gene, [[0.9, 0.5], [0.7, 0.3], [np.nan, 0.1]])
    assert rmse.by_gene.tolist() == [[1, 4], [2, 5], [3, 6]]


def test_means_are_over_genes_that_all_methods_have_a_score_for():
    pcc, rmse = score_panels(TABLE, ["pcc", "rmse"], None)
    np.testing.assert_allclose(pcc.means, [0.8, 0.4])
    np.testing.assert_allclose(rmse.means, [2, 5])
    (nothing,) = score_panels(TABLE.assign(pcc=np.nan), ["pcc"], None)
    assert np.isnan(nothing.means).all()


def test_methods_come_in_the_order_asked_for_whatever_the_order_of_rows():
    (panel,) = score_panels(TABLE.iloc[::-1], ["rmse"], ["linear", "s2s"])
    assert panel.methods == ("linear", "s2s")
    assert sorted(panel.by_gene.tolist()) == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize(
    ("scores", "methods", "error", "match"),
    [
        (["auc"], None, KeyError, "scores not found: auc; there are pcc, rmse"),
        (["pcc"], ["magic"], KeyError, "methods without scores: magic; scored are s2s, linear"),
        ([], None, ValueError, "expected at least one score and one method"),
        (["pcc"], [], ValueError, "expected at least one score and one method"),
    ],
)
def test_unknown_scores_and_methods(scores, methods, error, match):
    with pytest.raises(error, match=match):
        score_panels(TABLE, scores, methods)


def test_what_is_drawn(scored):
    axes = s2s.pl.evaluation(scored, ["pcc", "rmse"], show=False)
    table = s2s.get.evaluation_df(scored)
    assert [axis.get_title() for axis in axes] == ["PCC", "RMSE"]
    assert [axis.get_xlabel() for axis in axes] == ["higher is better", "lower is better"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["nearest", "linear"]
    assert axes[1].yaxis_inverted()
    dots = [line for line in axes[1].lines if line.get_marker() == "o"]
    for line, method in zip(dots, ("nearest", "linear"), strict=True):
        assert line.get_xdata().tolist() == table.loc[table["method"] == method, "rmse"].tolist()
    means = table.groupby("method", observed=True)["rmse"].mean()
    expected = [f"{means['nearest']:.3f}", f"{means['linear']:.3f}", "mean"]
    assert [text.get_text() for text in axes[1].texts] == expected


def test_scores_that_are_undefined_for_all_genes_are_drawn_as_none(scored):
    scored.uns["s2s"]["evaluation"]["scores"]["pcc"] = np.nan
    (axis,) = s2s.pl.evaluation(scored, "pcc", methods="linear", show=False)
    assert [text.get_text() for text in axis.texts] == ["–", "mean"]


def test_many_genes_are_not_joined_by_lines(scored, monkeypatch):
    joined = len(s2s.pl.evaluation(scored, "pcc", show=False)[0].lines)
    monkeypatch.setattr("s2s_scverse.pl._evaluation.MAX_LINES", 1)
    assert len(s2s.pl.evaluation(scored, "pcc", show=False)[0].lines) == joined - scored.n_vars


def test_return_types_and_axes_of_the_user(scored, monkeypatch):
    assert s2s.pl.evaluation(scored, show=False).shape == (3,)
    plt.close("all")
    assert isinstance(s2s.pl.evaluation(scored, return_fig=True), Figure)
    assert plt.get_fignums() == []
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("shown"))
    figure, axis = plt.subplots()
    assert s2s.pl.evaluation(scored, "pcc", axes=axis).tolist() == [axis]
    assert s2s.pl.evaluation(scored, "pcc", axes=axis, return_fig=True) is figure


def test_nothing_evaluated(scored):
    del scored.uns["s2s"]["evaluation"]
    with pytest.raises(KeyError, match=r"call s2s\.tl\.evaluate"):
        s2s.pl.evaluation(scored)
