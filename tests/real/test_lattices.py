"""Real sections on their lattices."""

import shutil

import anndata as ad
import numpy as np
import pytest

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
