import anndata as ad
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def sites(adata):
    return dict(zip(zip(adata.obs["array_row"], adata.obs["array_col"], strict=True), range(adata.n_obs), strict=True))


def test_upsample_puts_sites_between_spots_and_keeps_spots_first(hand_drawn):
    adata = hand_drawn("### ### ###", pitch=100)
    found = s2s.pp.grid(adata, upsample=2)
    assert found.n_obs == 25
    assert found.obs_names[:9].tolist() == adata.obs_names.tolist()
    assert found.obs["s2s_measured"].tolist() == [True] * 9 + [False] * 16
    assert found.obs_names[9] == "site_0x1"
    at = sites(found)
    np.testing.assert_allclose(found.obsm["spatial"][at[1, 3]], [150, 50])
    np.testing.assert_array_equal(dense(found.X)[:9], adata.X)
    assert not dense(found.X)[9:].any()
    grid = found.uns["s2s"]["grid"]
    assert grid["kind"] == "square"
    assert grid["shape"].tolist() == [5, 5]
    assert grid["stride"] == 2
    assert grid["pitch"] == pytest.approx(50)
    np.testing.assert_allclose(grid["basis"], [[0, 50], [50, 0]], atol=1e-9)


def test_upsample_1_adds_only_the_holes(hand_drawn):
    adata = hand_drawn("##### ##### ##.## ##### #####")
    found = s2s.pp.grid(adata, upsample=1)
    assert found.obs_names[24:].tolist() == ["site_2x2"]
    assert s2s.pp.grid(adata[:, :1], upsample=1).shape == (25, 1)


def test_bins_sum_counts_and_average_other_values():
    adata = ad.AnnData(np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    adata.obsm["spatial"] = np.array([[0.0, 0], [9, 9], [19, 0]])
    adata.layers["log"] = np.log1p(adata.X)
    found = s2s.pp.grid(adata, bin_size=10, upsample=1)
    np.testing.assert_array_equal(dense(found.X), [[4, 6], [5, 6]])
    np.testing.assert_allclose(dense(found.layers["log"])[0], np.log1p(adata.X[:2]).mean(axis=0), rtol=1e-6)
    assert found.obs["n_cells"].tolist() == [2, 1]
    assert found.uns["s2s"]["grid"]["bins"] == {"X": "sum", "log": "mean"}
    assert found.obs_names.tolist() == ["site_0x0", "site_0x1"]
    np.testing.assert_allclose(found.obsm["spatial"], [[5, 5], [15, 5]])
    sums = s2s.pp.grid(ad.AnnData(sparse.csr_matrix(adata.X), obsm=adata.obsm), bin_size=10, upsample=1)
    np.testing.assert_array_equal(dense(sums.X), dense(found.X))


def test_empty_bins_inside_are_unmeasured_sites():
    cells = np.stack(np.meshgrid(np.arange(7), np.arange(7)), axis=-1).reshape(-1, 2) * 10.0
    cells = cells[~np.all(cells == 30, axis=1)]
    adata = ad.AnnData(np.ones((48, 1), np.float32), obsm={"spatial": cells})
    found = s2s.pp.grid(adata, bin_size=10, upsample=1)
    assert found.obs_names[~found.obs["s2s_measured"]].tolist() == ["site_3x3"]


def test_hidden_spots_stay_hidden(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("##### ##### ##### ##### #####"), upsample=1)
    s2s.pp.sparsify(adata, stride=2)
    found = s2s.pp.grid(adata, upsample=2)
    assert found.obs["s2s_measured"].sum() == 9
    assert found.obs["s2s_held_out"].sum() == 16
    assert found.n_obs == 81


def test_new_sites_have_what_all_spots_of_their_section_share(hand_drawn):
    adata = ad.concat({"a": hand_drawn("## ##"), "b": hand_drawn("## ##")}, label="slide", index_unique="-")
    adata.obs["in_tissue"], adata.obs["donor"] = 1, adata.obs["slide"].map({"a": "d1", "b": "d2"})
    adata.obs["treated"], adata.obs["age"] = adata.obs["slide"] == "a", [3] * 4 + [3, 3, 3, 4]
    found = s2s.pp.grid(adata, library_key="slide")
    assert found.n_obs == 18
    assert (found.obs["in_tissue"] == 1).all()
    assert [found.obs[key].dtype for key in ("in_tissue", "treated")] == [adata.obs["in_tissue"].dtype, bool]
    assert found.obs.groupby("slide", observed=True)["donor"].unique().map(list).to_dict() == {"a": ["d1"], "b": ["d2"]}
    assert found.obs["treated"].equals(found.obs["slide"] == "a")
    new = ~found.obs["s2s_measured"]
    assert found.obs["age"][new & (found.obs["slide"] == "a")].eq(3).all()
    assert found.obs["age"][new & (found.obs["slide"] == "b")].isna().all()


def test_names_of_new_sites_never_collide(hand_drawn):
    adata = hand_drawn("## ##")
    adata.obs_names = ["site_0x1", "b", "c", "d"]
    found = s2s.pp.grid(adata)
    assert found.obs_names.is_unique
    assert "site_0x1-1" in found.obs_names


def test_imputed_layers_do_not_outlive_their_lattice(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("### #.# ###"))
    adata.layers["mine"] = adata.X.copy()
    s2s.tl.interpolate(adata, "linear")
    again = s2s.pp.grid(adata[adata.obs["s2s_measured"]])
    assert list(named_layers(again)) == ["mine"]
    assert "linear_visible" not in again.obs
    assert list(again.uns["s2s"]) == ["grid"]
    assert "linear" in adata.layers


@pytest.mark.parametrize("kind", ["backed", "dask", "dask of csr"])
def test_bins_of_backed_and_lazy_sections(hand_drawn, tmp_path, kind):
    adata = hand_drawn("### #.# ###")
    if kind == "dask of csr":
        adata.X = sparse.csr_matrix(adata.X)
    expected = s2s.pp.grid(adata, bin_size=2)
    if kind == "backed":
        adata.write_h5ad(tmp_path / "x.h5ad")
        adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    else:
        adata.X = da.from_array(adata.X, chunks=(4, 2), asarray=False)
    found = s2s.pp.grid(adata, bin_size=2)
    if kind == "backed":
        adata.file.close()
    np.testing.assert_array_equal(dense(found.X), dense(expected.X))
    found.write_h5ad(tmp_path / "found.h5ad")
