import anndata as ad
import numpy as np
import pandas as pd
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


@pytest.mark.parametrize("upsample", [3, 4])
def test_other_factors(hand_drawn, upsample):
    found = s2s.pp.grid(hand_drawn("### ### ###"), upsample=upsample)
    assert found.n_obs == (2 * upsample + 1) ** 2


def test_coordinates_alone_give_the_same_sites(hand_drawn):
    adata = hand_drawn("###.# ##### ##### .####", pitch=30)
    with_array = s2s.pp.grid(adata, upsample=2)
    adata.obs = adata.obs[[]]
    alone = s2s.pp.grid(adata, upsample=2)
    pd.testing.assert_frame_equal(alone.obs, with_array.obs, check_dtype=False)
    np.testing.assert_allclose(alone.obsm["spatial"], with_array.obsm["spatial"], atol=1e-9)


def test_input_is_not_changed(hand_drawn):
    adata = hand_drawn("### #.# ###")
    before = adata.copy()
    s2s.pp.grid(adata)
    assert adata.obs.equals(before.obs)
    assert "s2s" not in adata.uns
    np.testing.assert_array_equal(adata.X, before.X)


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(sparse.csr_matrix, id="csr"),
        pytest.param(sparse.csc_matrix, id="csc"),
        pytest.param(sparse.csr_array, id="csr_array"),
        pytest.param(lambda x: x.astype(np.float64), id="float64"),
        pytest.param(lambda x: x.astype(np.int64), id="int"),
    ],
)
def test_storage_of_x_does_not_matter(hand_drawn, convert):
    adata = hand_drawn("### #.# ###")
    expected = dense(s2s.pp.grid(adata).X)
    adata.X = convert(adata.X)
    found = s2s.pp.grid(adata)
    assert sparse.issparse(found.X) == sparse.issparse(adata.X)
    assert found.X.dtype == adata.X.dtype
    np.testing.assert_array_equal(dense(found.X), expected)


def test_everything_else_comes_along_and_survives_h5ad(hand_drawn, tmp_path):
    adata = hand_drawn("### ### ###")
    adata.layers["counts"] = sparse.csr_matrix(adata.X)
    adata.obsm["X_pca"] = np.ones((9, 2), np.float32)
    adata.varm["loadings"] = np.ones((2, 3))
    adata.uns["colors"] = ["#000000"]
    adata.obs["cluster"] = pd.Categorical(list("aabbccaab"))
    adata.obs["good"] = True
    adata.obs["n"] = 5
    adata.raw = adata
    found = s2s.pp.grid(adata)
    found.write_h5ad(tmp_path / "x.h5ad")
    found = ad.read_h5ad(tmp_path / "x.h5ad")
    assert found.layers["counts"].shape == (25, 2)
    assert list(found.obsm) == ["spatial"]  # an embedding has no values for new sites
    assert found.varm["loadings"].shape == (2, 3)
    assert list(found.uns["colors"]) == ["#000000"]
    assert found.obs["cluster"].cat.categories.tolist() == list("abc")
    assert found.obs["cluster"][9:].isna().all()
    assert found.obs["good"][:9].all()
    assert found.obs["good"][9:].isna().all()
    assert found.obs["n"][:9].eq(5).all()
    assert found.raw.shape == (25, 2)
    assert found.uns["s2s"]["grid"]["kind"] == "square"
    assert found.obs["s2s_measured"].dtype == bool


def test_bins_sum_counts_and_average_other_values():
    adata = ad.AnnData(np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    adata.obsm["spatial"] = np.array([[0.0, 0], [9, 9], [19, 0]])
    adata.layers["log"] = np.log1p(adata.X)
    found = s2s.pp.grid(adata, bin_size=10, upsample=1)
    np.testing.assert_array_equal(dense(found.X), [[4, 6], [5, 6]])
    np.testing.assert_allclose(dense(found.layers["log"])[0], np.log1p(adata.X[:2]).mean(axis=0), rtol=1e-6)
    assert found.obs["n_cells"].tolist() == [2, 1]
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


def test_regular_subset_of_a_section_is_a_lattice_again(hand_drawn):
    adata = hand_drawn("##### ##### ##### ##### #####", pitch=10)
    every_second = adata[(adata.obs["array_row"] % 2 == 0) & (adata.obs["array_col"] % 2 == 0)]
    found = s2s.pp.grid(every_second, upsample=2)
    expected = s2s.pp.grid(adata, upsample=1)
    assert sites(found).keys() == sites(expected).keys()
    order = [sites(found)[key] for key in sites(expected)]
    np.testing.assert_allclose(found.obsm["spatial"][order], expected.obsm["spatial"], atol=1e-9)


def test_hidden_spots_stay_hidden(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("##### ##### ##### ##### #####"), upsample=1)
    s2s.pp.sparsify(adata, stride=2)
    found = s2s.pp.grid(adata, upsample=2)
    assert found.obs["s2s_measured"].sum() == 9
    assert found.obs["s2s_held_out"].sum() == 16
    assert found.n_obs == 81


def test_names_of_new_sites_never_collide(hand_drawn):
    adata = hand_drawn("## ##")
    adata.obs_names = ["site_0x1", "b", "c", "d"]
    found = s2s.pp.grid(adata)
    assert found.obs_names.is_unique
    assert "site_0x1-1" in found.obs_names


def duplicated(adata):
    adata.obs["array_row"] = 0
    adata.obs["array_col"] = 0


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        pytest.param(None, {"upsample": 0}, ValueError, "upsample must be from 1 to 8, found 0", id="upsample 0"),
        pytest.param(None, {"upsample": 100}, ValueError, "upsample must be from 1 to 8, found 100", id="upsample 100"),
        pytest.param(None, {"upsample": 1.5}, TypeError, "upsample must be an integer, found 1.5", id="upsample 1.5"),
        pytest.param(
            None, {"upsample": True}, TypeError, "upsample must be an integer, found True", id="upsample True"
        ),
        pytest.param(
            None, {"fill": "x"}, ValueError, "fill must be one of 'tissue', 'hull', 'all', found 'x'", id="fill"
        ),
        pytest.param(None, {"bin_size": 0}, ValueError, "bin_size must be positive and finite, found 0", id="bin 0"),
        pytest.param(None, {"bin_size": np.inf}, ValueError, "bin_size must be positive and finite", id="bin inf"),
        pytest.param(None, {"bin_size": "9"}, TypeError, "bin_size must be a number", id="bin str"),
        pytest.param(None, {"spatial_key": "xy"}, KeyError, "adata.obsm has no 'xy', it has: spatial", id="no key"),
        pytest.param(
            lambda a: a.obsm.update(spatial=np.ones((9, 3))),
            {},
            ValueError,
            r"2 columns \(x, y\), found shape \(9, 3\)",
            id="3 columns",
        ),
        pytest.param(
            lambda a: a.obsm.update(spatial=np.full((9, 2), np.nan)),
            {},
            ValueError,
            "NaN or infinite for 9 of 9 spots",
            id="nan coordinates",
        ),
        pytest.param(
            lambda a: a.obsm.update(spatial=np.full((9, 2), "a")),
            {},
            TypeError,
            "must hold numbers",
            id="text coordinates",
        ),
        pytest.param(duplicated, {}, ValueError, "8 spots share their array_row/array_col", id="duplicated sites"),
        pytest.param(
            lambda a: a.obs.__setitem__("array_row", 0.5),
            {},
            ValueError,
            "must hold whole numbers, found 0.5",
            id="half rows",
        ),
        pytest.param(
            lambda a: a.obs.__setitem__("array_row", list("abcdefghi")),
            {},
            TypeError,
            "must hold whole numbers, found dtype",
            id="text rows",
        ),
        pytest.param(
            lambda a: setattr(a, "var_names", ["g", "g"]),
            {},
            ValueError,
            r"gene names are not unique \(g\)",
            id="genes",
            marks=pytest.mark.filterwarnings("ignore:Variable names"),
        ),
        pytest.param(
            lambda a: setattr(a, "obs_names", ["s"] * 9),
            {},
            ValueError,
            r"spot names are not unique \(s\)",
            id="spots",
            marks=pytest.mark.filterwarnings("ignore:Observation names"),
        ),
        pytest.param(
            lambda a: a.obs.__setitem__("s2s_measured", [False] + [True] * 8),
            {},
            ValueError,
            "1 of 9 sites are unmeasured already",
            id="unmeasured",
        ),
        pytest.param(
            lambda a: a.obs.__setitem__("s2s_measured", 3),
            {},
            ValueError,
            "must hold True or False for every site, found 3",
            id="measured 3",
        ),
    ],
)
def test_bad_input(hand_drawn, change, arguments, error, message):
    adata = hand_drawn("### ### ###")
    if change:
        change(adata)
    with pytest.raises(error, match=message):
        s2s.pp.grid(adata, **arguments)


def test_other_types_and_empty_sections_are_refused():
    with pytest.raises(TypeError, match="expected an AnnData, found list"):
        s2s.pp.grid([])
    with pytest.raises(ValueError, match=r"at least one spot and one gene, found an AnnData of shape \(0, 3\)"):
        s2s.pp.grid(ad.AnnData(np.ones((0, 3))))


def test_bins_refuse_values_that_are_no_numbers():
    adata = ad.AnnData(np.array([[1, np.nan], [3, 4]], np.float32), obsm={"spatial": np.array([[0.0, 0], [9, 9]])})
    with pytest.raises(ValueError, match=r"adata.X has 1 values that are NaN or infinite; set those, or drop"):
        s2s.pp.grid(adata, bin_size=5)


def test_bins_say_what_was_summed_and_averaged():
    adata = ad.AnnData(np.ones((2, 1), np.float32), obsm={"spatial": np.array([[0.0, 0], [9, 9]])})
    adata.layers["log"] = np.log1p(adata.X)
    assert s2s.pp.grid(adata, bin_size=5).uns["s2s"]["grid"]["bins"] == {"X": "sum", "log": "mean"}


def test_imputed_layers_do_not_outlive_their_lattice(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("### #.# ###"))
    adata.layers["mine"] = adata.X.copy()
    s2s.tl.interpolate(adata, "linear")
    again = s2s.pp.grid(adata[adata.obs["s2s_measured"]])
    assert list(named_layers(again)) == ["mine"]
    assert "linear_visible" not in again.obs
    assert list(again.uns["s2s"]) == ["grid"]
    assert "linear" in adata.layers


@pytest.mark.parametrize("bin_size", [None, 2])
@pytest.mark.parametrize("kind", ["backed", "dask", "dask of csr"])
def test_backed_and_lazy_sections_are_read(hand_drawn, tmp_path, bin_size, kind):
    import dask.array as da

    adata = hand_drawn("### #.# ###")
    if kind == "dask of csr":
        adata.X = sparse.csr_matrix(adata.X)
    expected = s2s.pp.grid(adata, bin_size=bin_size)
    if kind == "backed":
        adata.write_h5ad(tmp_path / "x.h5ad")
        adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    else:
        adata.X = da.from_array(adata.X, chunks=(4, 2), asarray=False)
    found = s2s.pp.grid(adata, bin_size=bin_size)
    if kind == "backed":
        adata.file.close()
    np.testing.assert_array_equal(dense(found.X), dense(expected.X))
    found.write_h5ad(tmp_path / "found.h5ad")


def test_views_work(hand_drawn):
    adata = hand_drawn("### ### ###")
    found = s2s.pp.grid(adata[2:], upsample=1)
    assert found.obs_names[:7].tolist() == adata.obs_names[2:].tolist()
