"""What pp.grid takes for a measured spot, and where spots lie."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import s2s_scverse as s2s


def hexagonal(n_rows=12, n_cols=14):
    array = np.array([(r, 2 * c + r % 2) for r in range(n_rows) for c in range(n_cols)])
    return array, np.c_[array[:, 1] * 50, array[:, 0] * 50 * 3**0.5]


def spots(array, coordinates, x=None):
    x = np.random.default_rng(0).poisson(5, (len(coordinates), 6)) + 1 if x is None else x
    adata = ad.AnnData(np.asarray(x, np.float32), obsm={"spatial": np.asarray(coordinates, float)})
    if array is not None:
        adata.obs["array_row"], adata.obs["array_col"] = np.asarray(array).T
    return adata


@pytest.mark.parametrize(
    "convert",
    [
        *(lambda v, kind=kind: v.astype(kind) for kind in (int, float, bool, str)),
        *(lambda v: pd.Categorical(v.astype(str)), lambda v: np.where(v, "True", "False")),
    ],
)
def test_spots_outside_the_tissue_are_left_out(convert):
    array, xy = hexagonal()
    adata = spots(array, xy)
    inside = np.hypot(*(xy - xy.mean(0)).T) < 400
    adata.obs["in_tissue"] = convert(inside.astype(int))
    found, alone = s2s.pp.grid(adata), s2s.pp.grid(adata[inside].copy())
    assert found.obs_names.tolist() == alone.obs_names.tolist()
    np.testing.assert_array_equal(found.obsm["spatial"], alone.obsm["spatial"])
    bins = s2s.pp.grid(adata, bin_size=200, upsample=1)
    assert bins.obs["n_cells"].sum() == inside.sum()


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_spots_without_counts_are_not_measured(convert):
    adata = spots(*hexagonal())
    adata.X[[3, 50]] = 0
    adata.X = convert(adata.X)
    found = s2s.pp.grid(adata, upsample=1)
    assert np.flatnonzero(~found.obs["s2s_measured"]).tolist() == [3, 50]
    assert found.obs_names.tolist() == adata.obs_names.tolist()
    s2s.tl.interpolate(found, "nearest")
    assert (found.layers["nearest"][[3, 50]] > 0).all()
    again = s2s.pp.grid(found[found.obs["s2s_measured"]], upsample=1)
    assert again.obs["s2s_measured"].sum() == 166


def test_counts_tell_which_spots_are_empty():
    adata = spots(*hexagonal())
    adata.layers["counts"] = adata.X.copy()
    adata.layers["counts"][7] = 0
    adata.X = adata.X - adata.X.mean(axis=0)  # scaled values of an empty spot are not 0
    assert np.flatnonzero(~s2s.pp.grid(adata, upsample=1).obs["s2s_measured"]).tolist() == [7]
    few = spots(*hexagonal())
    few.obs["total_counts"] = 100
    few.X[7] = 0  # of the genes that were kept
    assert s2s.pp.grid(few, upsample=1).obs["s2s_measured"].all()


def test_held_out_spots_change_nothing():
    adata = s2s.pp.grid(spots(*hexagonal()), upsample=1)
    s2s.pp.sparsify(adata, stride=2)
    changed = adata.copy()
    changed.X[changed.obs["s2s_held_out"].to_numpy()] = np.random.default_rng(0).choice([0, -3.5], (126, 1))
    found, expected = s2s.pp.grid(changed), s2s.pp.grid(adata)
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    s2s.pp.mask_artifacts(found)
    s2s.pp.mask_artifacts(expected)
    pd.testing.assert_frame_equal(found.obs, expected.obs)


def test_array_positions_are_enough_but_not_exchanged_ones():
    array, xy = hexagonal()
    adata = spots(array, xy)
    del adata.obsm["spatial"]
    with pytest.warns(UserWarning, match="made from array_row/array_col, those of a hex lattice with a distance of 1"):
        found = s2s.pp.grid(adata)
    np.testing.assert_allclose(found.obsm["spatial"][:168] * 100, xy, atol=1e-9)
    assert found.uns["s2s"]["grid"]["pitch"] == pytest.approx(0.5)
    with pytest.raises(ValueError, match=r"stretched by 1\.73; .* drop the array columns"):
        s2s.pp.grid(spots(array[:, ::-1], xy))


@pytest.mark.parametrize(("pitch", "rounded"), [(4.3, False), (5.8, True), (14.5, False)])
def test_pixels_in_array_columns_are_refused(pitch, rounded):
    pixels = hexagonal(40, 35)[1] * pitch / 100
    whole = np.rint(pixels)
    with pytest.raises(ValueError, match=r"neighbouring spots differ by about \d+\.\d .* Drop the array columns"):
        s2s.pp.grid(spots(whole[:, ::-1].astype(int), whole if rounded else pixels * 20))


def test_new_sites_follow_warped_spots():
    array = np.stack(np.meshgrid(np.arange(30), np.arange(30), indexing="ij"), axis=-1).reshape(-1, 2)

    def warped(xy):
        return xy + 30 * np.c_[np.sin(xy[:, 1] / 300), np.cos(xy[:, 0] / 233)]

    adata = spots(array, warped(array[:, ::-1] * 100.0))
    with pytest.warns(UserWarning, match=r"spots lie 0\.\d\d pitches \(RMS\) from the lattice"):
        found = s2s.pp.grid(adata)
    expected = warped(found.obs[["array_col", "array_row"]].to_numpy() * 50.0)
    assert np.linalg.norm(found.obsm["spatial"] - expected, axis=1).max() < 5  # of a pitch of 100


def test_what_new_sites_cannot_have_is_dropped():
    adata = spots(*hexagonal())
    adata.obsm["X_pca"] = np.ones((168, 3))
    adata.obsp["connectivities"] = adata.obsp["distances"] = sparse.eye_array(168, format="csr")
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "distances_key": "distances", "params": {}}
    adata.uns["pca"] = {"variance": np.ones(3)}
    found = s2s.pp.grid(adata)
    assert list(found.obsm) == ["spatial"]
    assert not found.obsp
    assert "neighbors" not in found.uns
    assert "pca" in found.uns
    assert "neighbors" in s2s.pp.grid(adata, upsample=1).uns  # no site was added
    assert "neighbors" in adata.uns


def joined(label="sample", *, whole=False, index_unique=None, dx=0.0):
    """Two halves of a section, or the section twice, as one; the second is moved to the right."""
    array, xy = hexagonal()
    halves = {"A": slice(None, None if whole else 84), "B": slice(0 if whole else 84, None)}
    parts = {name: spots(array[rows], xy[rows] + [dx * (name == "B"), 0]) for name, rows in halves.items()}
    for name, part in parts.items():
        part.obs_names = [f"{name.lower()}{number}" for number in range(part.n_obs)]
    return ad.concat(parts, label=label, index_unique=index_unique)


def test_columns_named_like_sections_are_warned_of_and_annotations_are_not():
    for name in ("sample", "orig.ident", "Slide_2", "sampleid", "condition"):
        text = rf"\['{name}'\] has 2 values \(A, B\): pass library_key='{name}' if these are"
        with pytest.warns(UserWarning, match=text):
            s2s.pp.grid(joined(name))
    for name in ("layer", "region", "leiden"):
        s2s.pp.grid(joined(name))


@pytest.mark.parametrize("ending", [True, False])
def test_endings_and_beginnings_of_joined_names_are_warned_of(ending):
    adata = joined("cond", index_unique="-" if ending else None)
    if not ending:
        adata.obs_names = [f"{sample}_{'ACGT' * 4}-{i}" for i, sample in enumerate(adata.obs["cond"])]
    with pytest.warns(
        UserWarning, match=r"different beginnings or endings, .* \(A, B\): pass library_key='cond' if these"
    ):
        s2s.pp.grid(adata)


def test_libraries_are_refused_unless_all_spots_are_of_one():
    adata = joined("who")
    adata.uns["spatial"] = {"is_single": False, "A": {}, "B": {}}
    with pytest.raises(ValueError, match=r"names 2 libraries \(A, B\), .*: pass library_key='who', since"):
        s2s.pp.grid(adata)
    s2s.pp.grid(adata[adata.obs["who"] == "A"].copy())
    s2s.pp.grid(adata, library_key="who")
    del adata.obs["who"]
    with pytest.raises(ValueError, match=r"pass library_key=, or keep only the entry of this section"):
        s2s.pp.grid(adata)


@pytest.mark.parametrize("columns", [["array_row", "array_col"], []])
def test_repeated_positions_name_the_column(columns):
    adata = joined("cond", whole=True)
    adata.obs = adata.obs[["cond", *columns]]
    with pytest.raises(ValueError, match=r"168 spots share their .* names sections, pass library_key=.cond."):
        s2s.pp.grid(adata)


@pytest.mark.filterwarnings("ignore:spots lie")
def test_parts_on_lattices_of_their_own():
    with pytest.raises(ValueError, match=r"each value of adata.obs\['batch'\] lie on a lattice of their own"):
        s2s.pp.grid(joined("batch", dx=60))
    with pytest.warns(UserWarning, match=r"of their own; pass library_key='cond'"):
        s2s.pp.grid(joined("cond", dx=60))


def cells(n_fields=4, n=400):
    rng = np.random.default_rng(0)
    local, field = rng.uniform(0, 500, (n_fields * n, 2)), np.repeat(np.arange(n_fields), n)
    adata = ad.AnnData(np.ones((len(local), 3), np.float32), obsm={"spatial": local})
    adata.obsm["spatial_fov"] = local + np.c_[field % 2, field // 2] * 500
    adata.obs["fov"] = pd.Categorical(field.astype(str))
    adata.obs["celltype"] = rng.integers(0, 5, len(local)).astype(str)
    adata.uns["spatial"] = {str(each): {} for each in range(n_fields)}  # as squidpy.read.nanostring writes
    return adata


def test_local_coordinates_of_fields_of_view_and_cells_of_sections_that_overlap_are_refused():
    adata = cells()
    with pytest.raises(ValueError, match=r"local to each field of view; pass spatial_key='spatial_fov'"):
        s2s.pp.grid(adata, bin_size=50)
    assert s2s.pp.grid(adata, bin_size=50, spatial_key="spatial_fov", upsample=1).n_obs == 400
    del adata.obsm["spatial_fov"]
    with pytest.raises(ValueError, match="pass coordinates of the whole section, or library_key='fov'"):
        s2s.pp.grid(adata, bin_size=50)
    adata = cells()
    adata.obs = adata.obs.rename(columns={"fov": "sample"})
    del adata.uns["spatial"]
    with pytest.raises(ValueError, match="bins would mix them; pass library_key='sample'"):
        s2s.pp.grid(adata, bin_size="auto")
    with pytest.warns(UserWarning, match=r"\['sample'\] has 4 values"):
        s2s.pp.grid(adata, bin_size="auto", spatial_key="spatial_fov")
    assert s2s.pp.grid(adata, bin_size=50, library_key="sample", upsample=1).n_obs > 390
