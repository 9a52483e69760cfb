"""Any pattern of missing spots: the same network, no special cases, no worse than linear interpolation."""

import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s

ROW, COL = np.indices((28, 32))
RNG = np.random.default_rng(0)
PATTERNS = {
    "stride 2, phase 0 0": (ROW % 2 == 0) & (COL % 2 == 0),
    "stride 3, phase 1 2": (ROW % 3 == 1) & (COL % 3 == 2),
    "every second row": ROW % 2 == 0,
    "random quarter": RNG.random(ROW.shape) < 0.25,
    "clogged channels": ~np.isin(COL, [5, 11, 12, 19]) & (ROW != 9),
    "a fold": np.hypot(ROW - 13, COL - 12) > 3.2,
    "a lost corner": (ROW > 8) | (COL > 9),
    "the rim": (ROW > 5) & (ROW < 22) & (COL > 5) & (COL < 26),
}


@pytest.fixture(scope="module")
def section():
    adata = s2s.datasets.simulated_tissue(n_rows=28, n_cols=32, n_genes=12, rng=5)
    sc.pp.normalize_total(adata, target_sum=600)
    sc.pp.log1p(adata)
    return s2s.pp.grid(adata, upsample=1)


def hide(section, pattern):
    adata = section.copy()
    s2s.pp.sparsify(adata, keep=PATTERNS[pattern][adata.obs["array_row"], adata.obs["array_col"]])
    return adata


def errors(adata, keys):
    s2s.tl.evaluate(adata, keys, n_bootstrap=1)
    return s2s.get.evaluation_df(adata).groupby("method", observed=True)["rmse"].mean()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_worse_than_linear_and_about_as_good_as_kriging_or_better(section, pattern):
    adata = hide(section, pattern)
    s2s.tl.impute(adata, preset="quick", uncertainty=False, progress=False, max_distance=None)
    for method in ("linear", "kriging"):
        s2s.tl.interpolate(adata, method, max_distance=None)
    rmse = errors(adata, ["s2s", "linear", "kriging"])
    assert rmse["s2s"] < rmse["linear"]
    assert rmse["s2s"] < 1.02 * rmse["kriging"]
    measured = adata.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(adata.layers["s2s"][measured], adata.X[measured].toarray())


def test_beyond_the_stated_distance_there_is_nothing_but_a_warning(section):
    adata = hide(section, "a lost corner")
    with pytest.warns(UserWarning, match=r"\d+ of \d+ unmeasured sites are farther than 3 spot spacings .* stay NaN"):
        s2s.tl.impute(adata, max_distance=3, preset="quick", progress=False)
    with pytest.warns(UserWarning, match="farther than 3 spot spacings"):
        s2s.tl.interpolate(adata, "kriging", max_distance=3)
    at = adata.obsm["spatial"]
    spots = at[adata.obs["s2s_measured"]]
    distance = np.linalg.norm(at[:, None] - spots, axis=2).min(axis=1) / 100
    far = distance > 3 + 1e-6
    assert far.sum() > 10
    for key in ("s2s", "kriging"):
        assert np.array_equal(np.isnan(adata.layers[key]).all(axis=1), far)
        assert np.array_equal(np.isnan(adata.layers[key]).any(axis=1), far)
    with pytest.warns(UserWarning, match="held-out spots are not scored"):
        rmse = errors(adata, ["s2s", "kriging"])
    assert np.isfinite(rmse).all()
    assert adata.uns["s2s"]["evaluation"]["n_spots"] == (adata.obs["s2s_held_out"] & ~far).sum()
