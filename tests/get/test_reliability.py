import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers
from s2s_scverse.get._reliability import window_averages


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


def test_errors_go_with_the_run_they_belong_to(imputed, quick):
    before = imputed.layers["s2s"].copy()
    s2s.tl.impute(imputed, uncertainty=False, **quick)
    assert set(named_layers(imputed)) == {"truth", "s2s"}
    assert np.array_equal(imputed.layers["s2s"], before)
    with pytest.raises(KeyError, match=r"has no 's2s_reliability'; runs that have one: none; call"):
        s2s.get.reliable_genes(imputed)
    with pytest.raises(KeyError, match=r"run 's2s' has no standard deviations; call s2s\.tl\.impute"):
        s2s.get.interval(imputed)


QUICK = {"preset": "quick", "progress": False}


@pytest.fixture(scope="module")
def dense(_section):
    adata = _section.copy()
    s2s.tl.impute(adata, **QUICK)
    rows = adata.obs["array_row"] // 6
    adata.obs["domain"] = pd.Categorical("domain " + rows.astype(str))
    adata.obs.loc[rows == 2, "domain"] = np.nan
    return adata


def correlations(adata, sites, genes, scale, **drawn):
    """Of the layer with draws, by hand: of sites, of windows that are at least half full, and of domains."""
    obs = adata.obs[sites]
    windows = [obs["array_row"] // scale, obs["array_col"] // scale]
    sizes = obs.groupby(windows).size()
    full = sizes.index[sizes >= sizes.max() / 2]
    mean = pd.DataFrame(adata[sites, genes].layers["s2s"].astype(float), obs.index, genes)
    found = []
    for draw in s2s.get.draws(adata, genes=genes, **drawn):
        pair = mean, draw.to_df()[sites].astype(float)
        of_windows = (values.groupby(windows).mean().loc[full] for values in pair)
        of_domains = (values.groupby(obs["domain"], observed=True).mean() for values in pair)
        found.append([a.corrwith(b) for a, b in (pair, of_windows, of_domains)])
    return np.mean(found, axis=0)


def scaled(found, adata, genes):
    """To the correlation at sites that cross-validation expects."""
    return np.minimum(found * np.sqrt(adata[:, genes].var["s2s_reliability"].to_numpy() / found[0]), 1)


def test_it_is_the_correlation_of_the_layer_with_draws_scaled_to_cross_validation(dense):
    genes = dense.var_names[[7, 2]].tolist()
    table = s2s.get.reliability_df(dense, genes=genes, scales=(1, 3), regions="domain", n=4, rng=1)
    assert table.index.tolist() == genes
    assert table.columns.tolist() == [1, 3, "domain"]
    found = correlations(dense, ~dense.obs["s2s_measured"].to_numpy(), genes, 3, n=4, rng=1)
    assert_allclose(table.to_numpy().T, scaled(found, dense, genes), atol=1e-6)


def test_it_comes_true_and_grows_with_the_scale(dense):
    expected = s2s.get.reliability_df(dense)
    assert expected.columns.tolist() == [1, 2, 4]
    assert (expected.diff(axis=1)[[2, 4]].mean() > 0.02).all()
    assert_allclose(expected[1].mean(), dense.var["s2s_reliability"].mean(), atol=0.05)
    hidden = dense.obs["s2s_held_out"].to_numpy()
    index = dense.obs.loc[hidden, ["array_row", "array_col"]].to_numpy()
    for scale, average in zip((1, 2, 4), window_averages(index, [1, 2, 4]), strict=True):
        truth, mean = (average @ values[hidden] for values in (dense.X.toarray(), dense.layers["s2s"]))
        observed = pd.DataFrame(truth).corrwith(pd.DataFrame(mean))
        assert expected[scale].mean() == pytest.approx(observed.mean(), abs=0.1)


def test_sections_are_averaged_and_too_few_regions_have_no_correlation():
    made = [s2s.datasets.simulated_tissue(n_rows=14, n_cols=n, n_genes=6, rng=n) for n in (14, 20)]
    both = ad.concat(dict(zip("ab", made, strict=True)), label="library", index_unique="-")
    dense = s2s.pp.grid(both, upsample=2, library_key="library")
    s2s.pp.normalize(dense)
    s2s.tl.impute(dense, **QUICK)
    table = s2s.get.reliability_df(dense, scales=2, regions="library", n=3)
    assert table["library"].isna().all()
    genes, hidden = dense.var_names, ~dense.obs["s2s_measured"].to_numpy()
    sections = [hidden & (dense.obs["library"] == name).to_numpy() for name in "ab"]
    found = [correlations(dense, sites, genes.tolist(), 2, n=3) for sites in sections]
    found = np.average(found, axis=0, weights=[sites.sum() for sites in sections])
    assert_allclose(table[2], scaled(found, dense, genes)[1], atol=1e-5)


def test_more_genes_are_reliable_at_coarser_scales(dense):
    expected = s2s.get.reliability_df(dense, scales=4)[4].sort_values(ascending=False)
    least = float(expected.iloc[8]) - 1e-9
    assert s2s.get.reliable_genes(dense, least, scale=4) == expected.index[:9].tolist()
    assert len(s2s.get.reliable_genes(dense, least)) < 9
    axis = s2s.pl.reliability(dense, scales=(2, 4), show=False)
    assert_allclose(axis.lines[2].get_ydata(), expected)
