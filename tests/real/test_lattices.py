"""Real sections on their lattices."""

import shutil

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s

KINDS = {
    "visium_mouse_brain_coronal": "hex",
    "visium_dlpfc_151673": "hex",
    "visium_breast_cancer_crop": "hex",
    "st2k_mouse_liver_CN16_E1": "quincunx",
    "st_her2_breast_F1": "square",
    "st_mouse_olfactory_bulb_rep11": "square",
    "st_her2_breast_B4_he": "square",
}


@pytest.mark.parametrize("name", KINDS)
def test_kind_and_pitch_from_array_positions_and_from_coordinates_alone(data, name):
    adata = ad.read_h5ad(data / f"{name}.h5ad")[:, :2].copy()
    grid = s2s.pp.grid(adata, upsample=1).uns["s2s"]["grid"]
    assert grid["kind"] == KINDS[name]
    distances = np.linalg.norm(adata.obsm["spatial"][:, None] - adata.obsm["spatial"], axis=2)
    nearest = np.sort(distances, axis=1)[:, 1:4]  # of three, since coordinates are jittered on some arrays
    assert grid["pitch"] == pytest.approx(np.median(nearest), rel=0.05)
    alone = adata.copy()
    alone.obs = alone.obs[[]]
    found = s2s.pp.grid(alone, upsample=1).uns["s2s"]["grid"]
    assert found["kind"] == {"quincunx": "square"}.get(KINDS[name], KINDS[name])  # the same lattice, by another name
    assert found["pitch"] == pytest.approx(grid["pitch"], rel=0.02)
    assert found["residual"] < 0.1


def test_the_public_xenium_section_from_its_own_files(data, tmp_path):
    for path in (data / "raw" / "xenium_mouse_brain").iterdir():
        shutil.copy(path, tmp_path)
    adata = s2s.datasets.xenium_mouse_brain(cache_dir=tmp_path)
    expected = ad.read_h5ad(data / "xenium_mouse_brain_ctxhp.h5ad")
    assert adata.shape == (36602, 248)
    assert abs(adata.X - expected[:, adata.var_names].X).max() == 0
    np.testing.assert_allclose(adata.obsm["spatial"], expected.obsm["spatial"])


def test_values_of_bins_go_back_to_cells(data):
    cells = ad.read_h5ad(data / "merfish_mouse_hypothalamus.h5ad")
    dense = s2s.pp.grid(cells, bin_size="auto", bin_shape="hex", upsample=1)
    per_bin = dense.obs.loc[dense.obs["s2s_measured"], "n_cells"]
    assert 3 < per_bin.mean() < 5
    back = s2s.get.at(dense, cells, layer=None)
    assert np.isfinite(back.to_numpy()).all()
    # Each cell sees the total of its bin: weighted by 1 / cells of the bin, the totals add up again.
    counted = ad.AnnData(dense.obs[["n_cells"]].fillna(0).to_numpy(), obs=dense.obs, obsm=dense.obsm, uns=dense.uns)
    n_cells = s2s.get.at(counted, cells, layer=None).to_numpy()
    np.testing.assert_allclose((back.to_numpy() / n_cells).sum(axis=0), cells.X.sum(axis=0).A1, rtol=1e-4)


@pytest.mark.parametrize("alone", [False, True], ids=["as it is", "coordinates alone"])
def test_real_sections_give_no_warning(data, alone):
    # Warnings are errors: nothing here is refused or warned of, and few spots are artifacts.
    for path in sorted(data.glob("*.h5ad")):
        adata = ad.read_h5ad(path)
        spots = "array_row" in adata.obs
        if alone:
            adata.obs = adata.obs.drop(columns=["array_row", "array_col"], errors="ignore")
        dense = s2s.pp.grid(adata, upsample=1, bin_size=None if spots else "auto")
        before = dense.obs["s2s_measured"].sum()
        assert not spots or before == adata.n_obs, path.name
        s2s.pp.mask_artifacts(dense)
        assert dense.obs["s2s_measured"].sum() > 0.98 * before, path.name
        assert not dense.obs["s2s_artifact"].isin(["row", "column"]).any(), path.name


def test_dead_channels_of_a_real_section(data):
    adata = ad.read_h5ad(data / "dbit_mouse_embryo_FFPE2_he.h5ad")
    dead = (adata.obs["array_row"] == 20).to_numpy() | (adata.obs["array_col"] == 30).to_numpy()
    adata.X = adata.X.toarray()
    adata.X[dead] = np.random.default_rng(0).binomial(adata.X[dead].astype(int), 0.05)
    with pytest.warns(UserWarning, match="array_row 20 and array_col 30 is below 10%"):
        dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.mask_artifacts(dense)
    assert not dense.obs["s2s_measured"][: len(dead)][dead].any()


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


@pytest.mark.slow
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
