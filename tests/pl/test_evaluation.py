import numpy as np
import pandas as pd
import pytest

import s2s_scverse as s2s
from s2s_scverse.pl._evaluation import MAX_LINES

TABLE = pd.DataFrame(
    {
        "gene": ["a", "b", "c"] * 2,
        "method": ["s2s"] * 3 + ["linear"] * 3,
        "pcc": [0.9, 0.7, np.nan, 0.5, 0.3, 0.1],
        "rmse": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)


@pytest.fixture
def scored(make_lattice, build_section):
    adata = build_section(make_lattice(), np.arange(6), np.ones(6))
    adata.uns["s2s"]["evaluation"] = {"scores": TABLE.copy()}
    return adata


def dots(axis):
    return [line.get_xdata().tolist() for line in axis.lines if line.get_marker() == "o"]


def test_what_is_drawn(scored):
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
    scored.uns["s2s"]["evaluation"]["scores"] = TABLE.iloc[::-1].assign(pcc=np.nan)
    rmse, pcc = s2s.pl.evaluation(scored, ["rmse", "pcc"], methods=["linear", "s2s"], show=False)
    assert [sorted(xs) for xs in dots(rmse)] == [[4, 5, 6], [1, 2, 3]]
    assert [text.get_text() for text in pcc.texts] == ["–", "–", "mean"]


@pytest.mark.parametrize(("n_genes", "joined"), [(MAX_LINES, True), (MAX_LINES + 1, False)])
def test_many_genes_are_not_joined_by_lines(scored, n_genes, joined):
    names = [f"g{i}" for i in range(n_genes)]
    scored.uns["s2s"]["evaluation"]["scores"] = pd.DataFrame({"gene": names, "method": "s2s", "pcc": 0.5})
    (axis,) = s2s.pl.evaluation(scored, "pcc", show=False)
    assert (len(axis.lines) > n_genes) == joined
