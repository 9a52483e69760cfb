import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s


def array():
    return np.stack(np.meshgrid(np.arange(1, 41), np.arange(1, 41), indexing="ij"), axis=-1).reshape(-1, 2)


def section(*, weak=0.05, dead_rows=(), dead_cols=(), dead_spots=()):
    rng, at = np.random.default_rng(0), array()
    depth = np.exp(rng.normal(size=len(at)) * 0.4) * 10
    depth[np.isin(at[:, 0], dead_rows) | np.isin(at[:, 1], dead_cols)] *= weak
    depth[list(dead_spots)] *= weak
    adata = ad.AnnData(rng.poisson(depth[:, None] * np.exp(rng.normal(size=40))).astype(np.float32))
    adata.obs["array_row"], adata.obs["array_col"] = at.T
    adata.obsm["spatial"] = at[:, ::-1] * 20.0
    return adata


def normalised(adata):
    sc.pp.normalize_total(adata, target_sum=400)
    sc.pp.log1p(adata)
    return adata


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
@pytest.mark.parametrize(("prepare", "weak"), [(lambda a: a, 0.0), (normalised, 0.05)], ids=["counts", "normalised"])
def test_dead_channels_are_warned_of_and_masked(prepare, weak):
    adata = prepare(section(weak=weak, dead_rows=[1, 2], dead_cols=[21], dead_spots=[715]))
    with pytest.warns(UserWarning, match=r"array_row 1, 2 and array_col 21 is below 10% .* s2s\.pp\.mask_artifacts"):
        dense = s2s.pp.grid(adata, upsample=1)
    x = dense.X.copy()
    s2s.pp.mask_artifacts(dense)
    expected = np.isin(array()[:, 0], [1, 2]) | (array()[:, 1] == 21)
    expected[715] = True
    np.testing.assert_array_equal(~dense.obs["s2s_measured"], expected)
    np.testing.assert_array_equal(dense.X, x)
    if weak:
        reason = dense.obs["s2s_artifact"]
        assert reason.value_counts().to_dict() == {"row": 80, "column": 38, "depth": 1, "genes": 0}
        assert reason.isna().sum() == dense.obs["s2s_measured"].sum()


def test_depth_may_come_from_elsewhere():
    adata = section(dead_rows=[5])
    adata.obs["total_counts"] = adata.X.sum(axis=1)
    adata.X = (adata.X - adata.X.mean(0)) / adata.X.std(0)
    with pytest.warns(UserWarning, match=r"array_row 5 is below 10%"):
        dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.mask_artifacts(dense)
    assert (~dense.obs["s2s_measured"]).sum() == 40
    del dense.obs["total_counts"]
    with pytest.raises(ValueError, match=r"no depth can be read: .* pass layer= with counts, or set"):
        s2s.pp.mask_artifacts(dense)


def test_good_sections_are_left_alone_and_thresholds_count():
    dense = s2s.pp.grid(section(), upsample=2)
    found = s2s.pp.mask_artifacts(dense, copy=True)
    assert "s2s_artifact" not in dense.obs
    assert found.obs["s2s_artifact"].isna().all()
    harsh = s2s.pp.mask_artifacts(dense, spot_fraction=0.9, n_mads=0.1, copy=True)
    assert 300 < harsh.obs["s2s_artifact"].notna().sum() < 1200


@pytest.mark.parametrize(
    ("prepare", "bins"),
    [(lambda a: a, {}), (normalised, {}), (lambda a: a, {"bin_size": 40.0})],
    ids=["counts", "normalised", "bins"],
)
def test_background_is_warned_of_and_its_rim_is_no_dead_row(prepare, bins):
    adata, tissue = section(dead_rows=[20]), np.hypot(*(array() - 20.5).T) < 15
    adata.X[~tissue] = np.random.default_rng(1).poisson(adata.X[~tissue] * 0.01)
    adata.obs["in_tissue"] = 1
    adata, tissue = prepare(adata[adata.X.any(axis=1)].copy()), tissue[adata.X.any(axis=1)]
    with pytest.warns(UserWarning, match="depth|counts") as told:
        s2s.pp.grid(adata, upsample=1, **bins)
    *dead, background = [str(each.message) for each in told]
    assert background.endswith("hardly any counts, as outside the tissue; set obs['in_tissue'] to 0 there")
    assert len(dead) == (not bins)
    assert all("the median depth of array_row 20 is below 10%" in text for text in dead)
    adata.obs["in_tissue"] = tissue & (adata.obs["array_row"] != 20)
    assert s2s.pp.grid(adata, upsample=1, **bins).obs["s2s_measured"].any()
