"""What users do next: squidpy's statistics, files, pictures."""

import numpy as np
import pytest
import scanpy as sc
from sklearn.metrics import adjusted_rand_score

import s2s_scverse as s2s


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of squidpy, scanpy and numba about each other
def test_squidpy_and_scanpy_find_what_is_in_a_dense_visium_array():
    """Above 8,192 observations `sc.pp.neighbors` searches with pynndescent, whose 0.7 it cannot read."""
    import squidpy as sq

    adata = s2s.datasets.simulated_tissue(lattice="hex", n_rows=60, n_cols=60, n_genes=30)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata, upsample=2)
    s2s.tl.interpolate(dense, "kriging")
    plain = s2s.get.dense(dense, "kriging")
    assert plain.n_obs > 8192
    sq.gr.spatial_neighbors_grid(plain, n_neighs=6)
    sq.gr.spatial_autocorr(plain, mode="moran", n_jobs=1, show_progress_bar=False)
    assert plain.uns["moranI"]["I"].max() > 0.9
    sc.pp.neighbors(plain, n_neighbors=10, use_rep="X")
    sc.tl.leiden(plain, resolution=0.3, flavor="igraph", n_iterations=2, directed=False)
    spots = plain.obs[plain.obs["s2s_measured"]]
    assert adjusted_rand_score(spots["domain"].astype(str), spots["leiden"]) > 0.4


@pytest.fixture(scope="module")
def on_image():
    """A hexagonal section on a blank image, as scanpy reads Visium."""
    adata = s2s.datasets.simulated_tissue(lattice="hex", n_rows=16, n_cols=12, n_genes=6)
    sizes = {"spot_diameter_fullres": 55.0, "tissue_hires_scalef": 0.25, "fiducial_diameter_fullres": 80.0}
    image = np.ones((400, 400, 3), np.float32)
    adata.uns["spatial"] = {"slide": {"images": {"hires": image}, "scalefactors": sizes, "metadata": {"a": "b"}}}
    return adata


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_sites_of_a_dense_hexagonal_section_have_six_neighbours(on_image, factor):
    import squidpy as sq

    dense = s2s.pp.grid(on_image, upsample=factor)
    sq.gr.spatial_neighbors_grid(dense, n_neighs=6)
    degree = np.diff(dense.obsp["spatial_connectivities"].indptr)
    assert degree.max() == 6
    assert (degree == 6).mean() > 0.7
    pairs = dense.obsp["spatial_connectivities"].tocoo()
    at = dense.obsm["spatial"]
    step = np.linalg.norm(at[pairs.row] - at[pairs.col], axis=1)
    np.testing.assert_allclose(step, 100 / factor, rtol=1e-6)
    array = dense.obs[["array_row", "array_col"]].to_numpy(int)
    steps = np.abs(array[pairs.row] - array[pairs.col])
    assert set(map(tuple, steps.tolist())) == {(0, 2), (1, 1)}, "not those of Space Ranger's doubled columns"


def test_squidpy_is_told_the_size_of_sites_on_the_image(on_image):
    def scales(adata):
        return adata.uns["spatial"]["slide"]["scalefactors"]

    dense = s2s.pp.grid(on_image, upsample=2)
    assert scales(dense) == scales(on_image) | {"spot_diameter_fullres": 27.5}
    assert scales(on_image)["spot_diameter_fullres"] == 55.0
    again = s2s.pp.grid(dense[dense.obs["s2s_measured"]], upsample=4)
    assert scales(again)["spot_diameter_fullres"] == 55 / 4
    cells = s2s.datasets.simulated_tissue(lattice="cells", n_rows=9, n_cols=9, n_genes=6)
    cells.uns["spatial"] = {"slide": {"images": {}, "scalefactors": {"spot_diameter_fullres": 3.0}}}
    assert scales(s2s.pp.grid(cells, bin_size=120, upsample=2))["spot_diameter_fullres"] == 60
