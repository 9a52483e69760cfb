import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def test_upsample_puts_sites_between_spots_and_into_holes_and_keeps_spots_first(hand_drawn):
    adata = hand_drawn("### ### ###", pitch=100)
    found = s2s.pp.grid(adata, upsample=2)
    assert found.n_obs == 25
    assert found.obs_names[:9].tolist() == adata.obs_names.tolist()
    assert found.obs["s2s_measured"].tolist() == [True] * 9 + [False] * 16
    assert found.obs_names[9] == "site_0x1"
    np.testing.assert_allclose(found["site_1x3"].obsm["spatial"], [[150, 50]])
    np.testing.assert_array_equal(dense(found.X)[:9], adata.X)
    assert not dense(found.X)[9:].any()
    grid = found.uns["s2s"]["grid"]
    assert grid["kind"] == "square"
    assert grid["shape"].tolist() == [5, 5]
    assert grid["stride"] == 2
    assert grid["pitch"] == pytest.approx(50)
    np.testing.assert_allclose(grid["basis"], [[0, 50], [50, 0]], atol=1e-9)
    adata = hand_drawn("##### ##### ##.## ##### #####")
    found = s2s.pp.grid(adata, upsample=1)
    assert found.obs_names[24:].tolist() == ["site_2x2"]
    assert s2s.pp.grid(adata[:, :1], upsample=1).shape == (25, 1)


def test_bins_sum_counts_and_average_other_values_and_empty_ones_inside_are_unmeasured():
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
    cells = np.stack(np.meshgrid(np.arange(7), np.arange(7)), axis=-1).reshape(-1, 2) * 10.0
    cells = cells[~np.all(cells == 30, axis=1)]
    adata = ad.AnnData(np.ones((48, 1), np.float32), obsm={"spatial": cells})
    found = s2s.pp.grid(adata, bin_size=10, upsample=1)
    assert found.obs_names[~found.obs["s2s_measured"]].tolist() == ["site_3x3"]


def test_laid_out_again_hidden_spots_stay_hidden_and_imputed_layers_go(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("##### ##### ##### ##### #####"), upsample=1)
    s2s.pp.sparsify(adata, stride=2)
    found = s2s.pp.grid(adata, upsample=2)
    assert found.obs["s2s_measured"].sum() == 9
    assert found.obs["s2s_held_out"].sum() == 16
    assert found.n_obs == 81
    adata = s2s.pp.grid(hand_drawn("### #.# ###"))
    adata.layers["mine"] = adata.X.copy()
    s2s.tl.interpolate(adata, "linear")
    again = s2s.pp.grid(adata[adata.obs["s2s_measured"]])
    assert list(named_layers(again)) == ["mine"]
    assert "linear_visible" not in again.obs
    assert list(again.uns["s2s"]) == ["grid"]
    assert "linear" in adata.layers


def test_names_of_new_sites_are_unique_and_they_have_what_all_spots_of_their_section_share(hand_drawn):
    adata = hand_drawn("## ##")
    adata.obs_names = ["site_0x1", "b", "c", "d"]
    found = s2s.pp.grid(adata)
    assert found.obs_names.is_unique
    assert "site_0x1-1" in found.obs_names
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


def test_sparsify_keeps_a_stride_or_a_fraction_of_spots_and_not_of_sites(hand_drawn):
    dense = s2s.pp.grid(hand_drawn("##### " * 5), upsample=2)
    for phase, rows, cols in (((0, 0), (0, 4, 8), (0, 4, 8)), ((1, 0), (2, 6), (0, 4, 8))):
        found = s2s.pp.sparsify(dense, stride=2, phase=phase, copy=True).obs
        spots = found[found["s2s_measured"]]
        assert set(zip(spots["array_row"], spots["array_col"], strict=True)) == {(r, c) for r in rows for c in cols}
        assert found["s2s_held_out"].sum() == 25 - len(spots)
    assert s2s.pp.sparsify(dense, fraction=0.36, copy=True).obs["s2s_measured"].sum() == 9
    assert dense.obs["s2s_measured"].sum() == 25
    assert "s2s_held_out" not in dense.obs
