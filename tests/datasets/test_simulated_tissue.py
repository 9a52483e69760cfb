import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def adata():
    return s2s.datasets.simulated_tissue()


def counts(adata):
    return adata.X.toarray().astype(float)


def expected_share(adata):
    """Share of each gene in a site's expected counts, from the definition of the truth."""
    target = np.median(counts(adata).sum(axis=1))
    return np.expm1(adata.layers["truth"].astype(float)) / target


def test_contents_coordinates_and_truth(adata):
    assert adata.X.format == "csr"
    assert adata.X.dtype == adata.layers["truth"].dtype == np.float32
    assert list(adata.obs) == ["array_row", "array_col", "domain"]
    rows, cols = adata.obs["array_row"].to_numpy(), adata.obs["array_col"].to_numpy()
    np.testing.assert_array_equal(adata.obsm["spatial"], np.column_stack([cols, rows]) * 100.0)
    finer = s2s.datasets.simulated_tissue(pitch=12.5, depth=150.0)
    np.testing.assert_allclose(finer.obsm["spatial"], adata.obsm["spatial"] / 8)
    assert np.median(counts(finer).sum(axis=1)) == pytest.approx(150, rel=0.12)
    share = expected_share(adata)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    # What scanpy gives for the expected counts themselves is the truth, whatever the library size.
    expectation = ad.AnnData(share * counts(adata).sum(axis=1)[:, None])
    sc.pp.normalize_total(expectation)
    sc.pp.log1p(expectation)
    np.testing.assert_allclose(expectation.X, adata.layers["truth"], rtol=1e-4, atol=1e-5)


def test_counts_have_the_moments_of_a_negative_binomial():
    adata = s2s.datasets.simulated_tissue(dispersion=0.3, depth=3000, n_genes=24)
    poisson = s2s.datasets.simulated_tissue(dispersion=0.0, depth=3000, n_genes=24)
    for section, dispersion in ((adata, 0.3), (poisson, 0.0)):
        observed = counts(section)
        mean = expected_share(section) * observed.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(observed.sum(axis=0), mean.sum(axis=0), rtol=0.1)
        common = mean > 20
        # E[(X - mu)^2 - mu] / mu^2 is the dispersion; the total is known only from the same counts, hence the margin.
        estimate = np.mean(((observed - mean) ** 2 - mean)[common] / mean[common] ** 2)
        assert estimate == pytest.approx(dispersion, abs=0.08)
    assert (counts(adata).var(axis=0) > counts(adata).mean(axis=0)).all()


def test_patterns(adata):
    expected = {"domain": 17, "cell_type": 16, "gradient": 9, "hot_spot": 7, "flat": 5, "rare": 6}
    assert adata.var["pattern"].value_counts().to_dict() == expected
    truth = pd.DataFrame(adata.layers["truth"], columns=adata.var_names)
    pattern = adata.var["pattern"]
    assert (truth.loc[:, pattern == "flat"].std() < 1e-5).all()
    assert (truth.loc[:, pattern != "flat"].std() > 0.03).all()
    means = pd.Series(counts(adata).mean(axis=0), adata.var_names).groupby(pattern, observed=True).mean()
    assert means["rare"] < 0.1 * means.drop("rare").min()
    # A domain gene is told by its domain, a cell-type gene only in part: cells differ from site to site.
    between = truth.groupby(adata.obs["domain"].to_numpy()).transform("mean").var() / truth.var()
    between = between[pattern != "flat"].groupby(pattern[pattern != "flat"], observed=True).median()
    assert between["domain"] > 0.8
    assert between["cell_type"] < between["domain"] - 0.2


@pytest.mark.parametrize("kind", ["hex", "quincunx"])
def test_alternating_lattices_are_recognised_and_have_the_same_truth(kind):
    adata = s2s.datasets.simulated_tissue(lattice=kind, n_rows=20, n_cols=18, n_genes=6, pitch=55.0)
    assert set(adata.var["pattern"]) == {"domain", "cell_type", "gradient", "hot_spot", "flat", "rare"}
    share = expected_share(adata)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    # Counts scatter around their expectation: over all sites the noise averages out.
    np.testing.assert_allclose(counts(adata).sum(axis=0) / counts(adata).sum(), share.mean(axis=0), rtol=0.2)
    assert ((adata.obs["array_row"] + adata.obs["array_col"]) % 2 == 0).all()
    assert adata.obs["array_row"].max() < 20
    assert adata.obs["array_col"].max() < 36
    grid = s2s.pp.grid(adata, upsample=1).uns["s2s"]["grid"]
    assert grid["kind"] == kind
    assert grid["pitch"] == pytest.approx(55)
    assert grid["residual"] < 1e-9
