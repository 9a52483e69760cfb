import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers


def test_reliable_genes_come_most_reliable_first(imputed):
    expected = imputed.var["s2s_reliability"]
    assert expected.between(0, 1).all()
    found = s2s.get.reliable_genes(imputed, min_reliability=float(expected.median()))
    assert found == expected.sort_values(ascending=False).index[: len(found)].tolist()
    assert len(found) == imputed.n_vars / 2
    assert s2s.get.reliable_genes(imputed, -1) == expected.sort_values(ascending=False, kind="stable").index.tolist()
    assert s2s.get.reliable_genes(imputed, min_reliability=1) == []


def test_intervals(imputed):
    measured = imputed.obs["s2s_measured"].to_numpy()
    narrow, wide = (s2s.get.interval(imputed, level) for level in (0.5, 0.95))
    for lower, upper in (narrow, wide):
        assert lower.dtype == upper.dtype == np.float32
        assert (lower >= 0).all()
        assert np.array_equal(lower[measured], imputed.layers["s2s"][measured])
        assert np.array_equal(upper[measured], imputed.layers["s2s"][measured])
    assert (wide[1] - wide[0] >= narrow[1] - narrow[0]).all()
    hidden = imputed.obs["s2s_held_out"].to_numpy()
    truth = imputed.X[hidden].toarray()
    for level, (lower, upper) in ((0.5, narrow), (0.95, wide)):
        assert ((truth >= lower[hidden]) & (truth <= upper[hidden])).mean() == pytest.approx(level, abs=0.06)
    name = imputed.var_names[3]
    imputed.layers["s2s"][0, 0] = -1  # of another gene
    lower, upper = s2s.get.interval(imputed, 0.5, genes=name)
    assert np.array_equal(lower, narrow[0][:, [3]])
    assert np.array_equal(upper, narrow[1][:, [3]])
    assert np.array_equal(s2s.get.interval(imputed, 0.5)[0][:, 3:], narrow[0][:, 3:])
    s2s.tl.evaluate(imputed, "s2s", n_bootstrap=1)
    assert s2s.get.evaluation_df(imputed)["coverage"].mean() == pytest.approx(0.9, abs=0.04)


def test_errors_go_with_the_run_they_belong_to(imputed, quick):
    before = imputed.layers["s2s"].copy()
    s2s.tl.impute(imputed, uncertainty=False, **quick)
    assert set(named_layers(imputed)) == {"truth", "s2s"}
    assert np.array_equal(imputed.layers["s2s"], before)
    with pytest.raises(KeyError, match=r"has no 's2s_reliability'; runs that have one: none; call"):
        s2s.get.reliable_genes(imputed)
    with pytest.raises(KeyError, match=r"run 's2s' has no standard deviations; call s2s\.tl\.impute"):
        s2s.get.interval(imputed)
