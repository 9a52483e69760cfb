import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def cells():
    return s2s.datasets.simulated_tissue(lattice="cells", n_rows=30, n_cols=34, n_genes=6)


def test_automatic_bins_hold_four_cells_on_average(cells):
    dense = s2s.pp.grid(cells, bin_size="auto", upsample=1)
    per_bin = dense.obs.loc[dense.obs["s2s_measured"], "n_cells"]
    assert per_bin.sum() == cells.n_obs
    assert per_bin.mean() == pytest.approx(4, rel=0.05)
    # 4 cells on a square of side `pitch` is what the simulation has; bins at the rim are cut.
    assert dense.uns["s2s"]["grid"]["pitch"] == pytest.approx(100, rel=0.1)
    scaled = cells.copy()
    scaled.obsm["spatial"] = scaled.obsm["spatial"] * 1000
    pitch = s2s.pp.grid(scaled, bin_size="auto", upsample=1).uns["s2s"]["grid"]["pitch"]
    assert pitch == pytest.approx(1000 * dense.uns["s2s"]["grid"]["pitch"], rel=0.03)


@pytest.mark.parametrize("shape", ["square", "hex"])
def test_bins_with_few_cells_are_unmeasured(cells, shape):
    every = s2s.pp.grid(cells, bin_size=100, bin_shape=shape, upsample=1)
    assert every.uns["s2s"]["grid"]["kind"] == shape
    assert every.uns["s2s"]["grid"]["pitch"] == pytest.approx(100)
    fuller = s2s.pp.grid(cells, bin_size=100, bin_shape=shape, upsample=1, min_cells=3)
    expected = every[every.obs["s2s_measured"] & (every.obs["n_cells"] >= 3)]
    found = fuller[fuller.obs["s2s_measured"]]
    assert found.n_obs == expected.n_obs < every.obs["s2s_measured"].sum()
    assert abs(found.X - expected.X).sum() == 0
    np.testing.assert_allclose(found.obsm["spatial"], expected.obsm["spatial"], atol=1e-6)


@pytest.mark.parametrize(("angle", "factor"), [(0.0, 1), (1.7, 2), (90.0, 3), (200.0, 2)])
def test_bins_of_small_bins_lie_on_their_centres(angle, factor):
    index = np.stack(np.meshgrid(np.arange(60), np.arange(60), indexing="ij"), axis=-1).reshape(-1, 2)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    places = (index[:, ::-1] * [8.0, -8.0]) @ np.array([[cos, sin], [-sin, cos]]) / 0.274 + [3000, 9000]
    adata = ad.AnnData(np.ones((3600, 1), np.float32), obsm={"spatial": places})
    dense = s2s.pp.grid(adata, bin_size=factor * 8 / 0.274, upsample=1)
    assert dense.obs["n_cells"].tolist() == [factor**2] * (60 // factor) ** 2
    means = pd.DataFrame(places).groupby([index[:, 0] // factor, index[:, 1] // factor]).mean().to_numpy()
    assert cKDTree(dense.obsm["spatial"]).query(means)[0].max() < 1e-6
    counted = ad.AnnData(dense.obs[["n_cells"]].to_numpy(), obs=dense.obs, obsm=dense.obsm, uns=dense.uns)
    assert (s2s.get.at(counted, adata, layer=None) == factor**2).all(axis=None)


def test_bins_of_small_bins_and_of_one_place_each():
    places = np.repeat(np.stack(np.meshgrid(np.arange(8), np.arange(9)), axis=-1).reshape(-1, 2) * 50.0, 20, axis=0)
    adata = ad.AnnData(np.ones((len(places), 1), np.float32), obsm={"spatial": places})
    with pytest.raises(ValueError, match=r"share their coordinates .* pass bin_size= for cells or beads"):
        s2s.pp.grid(adata)
    dense = s2s.pp.grid(adata, bin_size=50, upsample=1)
    assert (dense.obs["n_cells"] == 20).all()
    np.testing.assert_allclose(np.unique(dense.obsm["spatial"].round(6), axis=0), np.unique(places, axis=0), atol=1e-6)
    places = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2) * 8.0
    adata = ad.AnnData(np.ones((400, 1), np.float32), obsm={"spatial": places})
    with pytest.warns(UserWarning, match=r"bin_size=12 is no multiple of 8, .* pass bin_size=16"):
        s2s.pp.grid(adata, bin_size=12, upsample=1)


def test_far_cells_and_bins_of_logarithms_are_told(cells):
    logged = cells.copy()
    logged.X = np.log1p(logged.X)
    with pytest.warns(UserWarning, match="adata.X holds values that are not counts: bins get their means"):
        s2s.pp.grid(logged, bin_size=100)
    cells = cells.copy()
    cells.obsm["spatial"][5] = [1e6, 1e6]
    with pytest.raises(ValueError, match=r"1 of \d+ cells lie far from the others \(for example at 1e\+06, 1e\+06\)"):
        s2s.pp.grid(cells, bin_size="auto")
