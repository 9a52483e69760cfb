import anndata as ad
import numpy as np
import pytest
from scipy import sparse

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


def test_automatic_bins_follow_the_unit(cells):
    scaled = cells.copy()
    scaled.obsm["spatial"] = scaled.obsm["spatial"] * 1000
    pitches = [s2s.pp.grid(each, bin_size="auto").uns["s2s"]["grid"]["pitch"] for each in (cells, scaled)]
    assert pitches[1] == pytest.approx(1000 * pitches[0], rel=0.03)


def test_automatic_bins_need_cells():
    few = ad.AnnData(np.ones((5, 1), np.float32), obsm={"spatial": np.random.default_rng(0).random((5, 2))})
    line = ad.AnnData(np.ones((50, 1), np.float32), obsm={"spatial": np.c_[np.arange(50.0), np.zeros(50)]})
    for adata in (few, line):
        with pytest.raises(ValueError, match="bin_size='auto' needs at least 8 cells that spread"):
            s2s.pp.grid(adata, bin_size="auto")


def test_hexagonal_bins_are_a_visium_like_lattice(cells):
    dense = s2s.pp.grid(cells, bin_size=120, bin_shape="hex", upsample=2)
    grid = dense.uns["s2s"]["grid"]
    assert grid["kind"] == "hex"
    assert grid["pitch"] == pytest.approx(60)
    spots = dense.obs["s2s_measured"].to_numpy()
    assert dense.X[spots].sum() == cells.X.sum()
    # Every cell lies in the hexagon of its bin: no centre is nearer, and none farther than its corner.
    distance = np.linalg.norm(cells.obsm["spatial"][:, None] - dense.obsm["spatial"][spots], axis=2).min(axis=1)
    assert distance.max() <= 120 / np.sqrt(3) + 1e-6
    assert ((dense.obs["array_row"] + dense.obs["array_col"]) % 2 == 0).all()


@pytest.mark.parametrize("shape", ["square", "hex"])
def test_bins_with_few_cells_are_unmeasured(cells, shape):
    every = s2s.pp.grid(cells, bin_size=100, bin_shape=shape, upsample=1)
    fuller = s2s.pp.grid(cells, bin_size=100, bin_shape=shape, upsample=1, min_cells=3)
    expected = every[every.obs["s2s_measured"] & (every.obs["n_cells"] >= 3)]
    found = fuller[fuller.obs["s2s_measured"]]
    assert found.n_obs == expected.n_obs < every.obs["s2s_measured"].sum()
    assert abs(found.X - expected.X).sum() == 0
    np.testing.assert_allclose(found.obsm["spatial"], expected.obsm["spatial"], atol=1e-6)


def test_no_bin_with_enough_cells(cells):
    with pytest.raises(ValueError, match=r"no bin of size 100 holds min_cells=50 cells; the fullest has \d+"):
        s2s.pp.grid(cells, bin_size=100, min_cells=50)


def test_a_regular_grid_of_small_bins_is_pooled_whole():
    # As Visium HD or Stereo-seq come: many small squares, pooled three by three.
    index = np.stack(np.meshgrid(np.arange(12), np.arange(9), indexing="ij"), axis=-1).reshape(-1, 2)
    adata = ad.AnnData(sparse.csr_matrix(np.ones((108, 2), np.float32)), obsm={"spatial": index * 8.0 + 4})
    dense = s2s.pp.grid(adata, bin_size=24, upsample=1)
    assert dense.shape == (12, 2)
    assert (dense.X.toarray() == 9).all()


def test_held_out_values_are_not_pooled_with_others(cells):
    dense = s2s.pp.grid(cells, bin_size=100, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    spots = dense[dense.obs["s2s_measured"] | dense.obs["s2s_held_out"]]
    with pytest.raises(ValueError, match=r"bins would mix held-out values .* bin first, then call s2s.pp.sparsify"):
        s2s.pp.grid(spots, bin_size=200)
