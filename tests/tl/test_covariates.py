"""`tl.impute` and `tl.interpolate` with covariates."""

import numpy as np
import pytest

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def guided(_section):
    adata = _section.copy()
    rng = np.random.default_rng(0)
    pattern = rng.standard_normal(adata.n_obs)
    values = np.asarray(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X)
    values[:, 0] += (2 + pattern).clip(0)
    adata.X = values
    adata.obs["pattern"] = pattern
    s2s.tl.impute(adata, preset="quick", covariates="pattern", progress=False)
    return adata


def test_gain_is_largest_for_the_gene_that_depends_on_the_covariate(guided):
    gain = guided.var["s2s_covariate_gain"]
    assert gain.idxmax() == guided.var_names[0]
    assert gain.iloc[0] > 0.2
    assert gain.iloc[1:].abs().max() < 0.1
    explained = guided.uns["s2s"]["s2s"]["explained"]
    assert explained["stack"] > explained["stack_without_covariates"]


def test_gain_of_an_earlier_run_goes(guided):
    adata = guided.copy()
    s2s.tl.impute(adata, preset="quick", progress=False)
    assert "s2s_covariate_gain" not in adata.var
    assert "s2s_covariate_gain" not in s2s.pp.grid(guided[guided.obs["s2s_measured"]]).var


def test_gain_is_drawn(guided):
    figure = s2s.pl.reliability(guided, return_fig=True)
    assert [axis.get_ylabel() for axis in figure.axes] == ["expected PCC", "variance explained by covariates"]


def test_methods_that_use_covariates(section):
    section.obs["pattern"] = np.random.default_rng(0).standard_normal(section.n_obs)
    s2s.tl.interpolate(section, "kriging", covariates="pattern")
    assert section.uns["s2s"]["kriging"]["params"]["covariates"] == "pattern"
    with pytest.raises(ValueError, match="kriging, pca_kriging, state_kriging, stack, found method 'idw'"):
        s2s.tl.interpolate(section, "idw", covariates="pattern")
