"""Real sections on their lattices."""

import shutil

import anndata as ad
import numpy as np
import pytest
from scipy.spatial import cKDTree

import s2s_scverse as s2s

KINDS = {"visium": "hex", "st2k": "quincunx", "st_ra_synovium_RA4": "quincunx", "st": "square", "dbit": "square"}


def test_the_public_xenium_section_from_its_own_files(data, tmp_path):
    for path in (data / "raw" / "xenium_mouse_brain").iterdir():
        shutil.copy(path, tmp_path)
    adata = s2s.datasets.xenium_mouse_brain(cache_dir=tmp_path)
    expected = ad.read_h5ad(data / "xenium_mouse_brain_ctxhp.h5ad")
    assert adata.shape == (36602, 248)
    assert abs(adata.X - expected[:, adata.var_names].X).max() == 0
    np.testing.assert_allclose(adata.obsm["spatial"], expected.obsm["spatial"])


@pytest.mark.parametrize("alone", [False, True], ids=["as it is", "coordinates alone"])
def test_kind_and_pitch_without_a_warning(data, alone):
    # Warnings are errors: nothing here is refused or warned of, and few spots are artifacts.
    for path in sorted(data.glob("*.h5ad")):
        adata = ad.read_h5ad(path)
        spots = "array_row" in adata.obs
        if alone:
            adata.obs = adata.obs.drop(columns=["array_row", "array_col"], errors="ignore")
        dense = s2s.pp.grid(adata, upsample=1, bin_size=None if spots else "auto")
        grid, before = dense.uns["s2s"]["grid"], dense.obs["s2s_measured"].sum()
        if spots:
            assert before == adata.n_obs, path.name
            kind = next(kind for start, kind in KINDS.items() if path.name.startswith(start))
            # Without array positions a quincunx is a square lattice that lies askew.
            assert grid["kind"] == ("square" if alone and kind == "quincunx" else kind), path.name
            # Of three, since coordinates are jittered on some arrays; of one where spots are a sample.
            k = 2 if "_1000_" in path.name else 4
            nearest = cKDTree(adata.obsm["spatial"]).query(adata.obsm["spatial"], k)[0][:, 1:]
            assert grid["pitch"] == pytest.approx(np.median(nearest), rel=0.05), path.name
            assert grid["residual"] < 0.1, path.name
        s2s.pp.mask_artifacts(dense)
        assert dense.obs["s2s_measured"].sum() > 0.98 * before, path.name
        assert not dense.obs["s2s_artifact"].isin(["row", "column"]).any(), path.name
