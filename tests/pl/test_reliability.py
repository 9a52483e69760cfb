import numpy as np
import pytest
from numpy.testing import assert_allclose

import s2s_scverse as s2s


def test_genes_are_drawn_from_the_most_reliable(imputed):
    (axis,) = s2s.pl.reliability(imputed, show=False)
    x, y = axis.lines[0].get_data()
    assert_allclose(x, np.arange(1, 13))
    assert_allclose(y, np.sort(imputed.var["s2s_reliability"])[::-1], rtol=1e-6)
    names = [text.get_text() for text in axis.texts]
    assert names[0] == imputed.var["s2s_reliability"].idxmax()
    assert names[-1] == imputed.var["s2s_reliability"].idxmin()


def test_what_came_true_is_drawn_beside(imputed):
    s2s.tl.evaluate(imputed, "s2s", n_bootstrap=1)
    first, second = s2s.pl.reliability(imputed, show=False)
    table = s2s.get.evaluation_df(imputed).set_index("gene")
    order = imputed.var["s2s_reliability"].sort_values(ascending=False).index
    x, y = second.lines[1].get_data()
    assert_allclose(x, imputed.var["s2s_reliability"][order], rtol=1e-6)
    assert_allclose(y, table["pcc"].astype(float)[order], rtol=1e-6)
    assert second.get_title().startswith("Spearman")
    figure = s2s.pl.reliability(imputed, return_fig=True)
    assert len(figure.axes) == 2
    with pytest.raises(ValueError, match="expected 2 axes"):
        s2s.pl.reliability(imputed, axes=first)


def test_a_run_without_reliability_is_told(section):
    with pytest.raises(KeyError, match="s2s_reliability"):
        s2s.pl.reliability(section)
