"""Any pattern of missing spots on a real hexagonal section, scored against linear interpolation and kriging."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s

pytestmark = pytest.mark.slow
PATTERNS = {
    "stride 2": lambda u, v, rng: (u % 2 == 0) & (v % 2 == 0),
    "stride 3": lambda u, v, rng: (u % 3 == 1) & (v % 3 == 0),
    "random quarter": lambda u, v, rng: rng.random(len(u)) < 0.25,
    "random half": lambda u, v, rng: rng.random(len(u)) < 0.5,
    "clogged channels": lambda u, v, rng: ~np.isin(u, [4, 10, 11, 17]) & (v % 7 != 3),
    "a fold": lambda u, v, rng: np.hypot(u - np.median(u), v - np.median(v)) > 4.1,
    "a lost corner": lambda u, v, rng: (u > np.quantile(u, 0.3)) | (v > np.quantile(v, 0.3)),
}  # fmt: skip


@pytest.fixture(scope="module")
def section(data):
    counts = ad.read_h5ad(data / "visium_breast_cancer_crop.h5ad")
    sc.pp.normalize_total(counts, target_sum=1e4)
    sc.pp.log1p(counts)
    return s2s.pp.grid(counts, upsample=1)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_better_than_linear_and_no_worse_than_kriging(section, pattern):
    adata = section[section.obs["s2s_measured"]].copy()
    row, col = (adata.obs[key].to_numpy() for key in ("array_row", "array_col"))
    s2s.pp.sparsify(adata, keep=PATTERNS[pattern](row, (col - row) // 2, np.random.default_rng(0)))
    values = adata.X[np.flatnonzero(adata.obs["s2s_measured"])].toarray()
    genes = adata.var_names[np.argsort(-values.var(axis=0))[:60]].tolist()
    s2s.tl.impute(adata, genes, preset="quick", progress=False, max_distance=None)
    for method in ("linear", "kriging"):
        s2s.tl.interpolate(adata, method, genes=genes, max_distance=None)
    s2s.tl.evaluate(adata, ["s2s", "linear", "kriging"], genes=genes, n_bootstrap=1)
    scores = s2s.get.evaluation_df(adata).groupby("method", observed=True)[["pcc", "rmse"]].mean()
    assert scores.loc["s2s", "pcc"] > scores.loc["linear", "pcc"]
    assert scores.loc["s2s", "rmse"] < scores.loc["linear", "rmse"]
    assert scores.loc["s2s", "pcc"] > scores.loc["kriging", "pcc"]
    assert scores.loc["s2s", "rmse"] < scores.loc["kriging", "rmse"]
