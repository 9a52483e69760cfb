import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import s2s_scverse as s2s

EXPECTED, FOUND = [0.2, 0.9, 0.6], [0.1, 0.8, np.nan]


@pytest.fixture
def trusted(make_lattice, build_section):
    adata = build_section(make_lattice(), np.zeros((6, 3)), np.ones(6), genes="abc", s2s=np.zeros((6, 3)))
    adata.var["s2s_reliability"] = EXPECTED
    return adata


def test_genes_are_drawn_from_the_most_reliable(trusted):
    (axis,) = s2s.pl.reliability(trusted, show=False)
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
    scores = pd.DataFrame({"gene": list("abc"), "method": "s2s", "pcc": FOUND})
    trusted.uns["s2s"]["evaluation"] = {"scores": scores}
    _, axis = s2s.pl.reliability(trusted, show=False)
    x, y = axis.lines[1].get_data()
    assert_allclose([x, y], [[0.9, 0.2], [0.8, 0.1]])
    assert not axis.get_title()
    trusted.uns["s2s"]["evaluation"]["scores"] = scores.assign(pcc=[0.1, 0.8, 0.7])
    assert s2s.pl.reliability(trusted, show=False)[1].get_title() == "Spearman 1.00, means 0.57 and 0.53"
    assert len(s2s.pl.reliability(trusted, key="s2s", return_fig=True).axes) == 2
