"""Several sections, or fields of view with coordinates of their own, that pp.grid is given as one section."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import s2s_scverse as s2s


def half(rows, *, name, dx=0.0):
    array = np.array([(r, 2 * c + r % 2) for r in rows for c in range(14)])
    adata = ad.AnnData(np.random.default_rng(0).poisson(5, (len(array), 4)).astype(np.float32) + 1)
    adata.obs_names = [f"{name}{i}" for i in range(len(array))]
    adata.obs["array_row"], adata.obs["array_col"] = array.T
    adata.obsm["spatial"] = np.c_[array[:, 1] * 50 + dx, array[:, 0] * 50 * 3**0.5]
    return adata


def joined(label="sample", *, whole=False, index_unique=None, **more):
    first, second = half(range(12 if whole else 6), name="a"), half(range(0 if whole else 6, 12), name="b", **more)
    return ad.concat({"A": first, "B": second}, label=label, index_unique=index_unique)


@pytest.mark.parametrize("name", ["sample", "orig.ident", "Slide_2", "sampleid", "condition"])
def test_a_column_named_like_sections_is_warned_of(name):
    with pytest.warns(
        UserWarning, match=rf"\['{name}'\] has 2 values \(A, B\): pass library_key='{name}' if these are"
    ):
        s2s.pp.grid(joined(name))


def test_annotations_are_not_warned_of():
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
    with pytest.raises(ValueError, match=r"pass library_key=, a column .*; for a single section, keep only its entry"):
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
    with pytest.warns(UserWarning, match=r"of their own, and together 0\.\d\d pitches .*: pass library_key='cond'"):
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


def test_local_coordinates_of_fields_of_view_are_refused():
    adata = cells()
    with pytest.raises(ValueError, match=r"local to each field of view; pass spatial_key='spatial_fov'"):
        s2s.pp.grid(adata, bin_size=50)
    assert s2s.pp.grid(adata, bin_size=50, spatial_key="spatial_fov", upsample=1).n_obs == 400
    del adata.obsm["spatial_fov"]
    with pytest.raises(ValueError, match="pass coordinates of the whole section, or library_key='fov'"):
        s2s.pp.grid(adata, bin_size=50)


def test_cells_of_sections_that_overlap_are_refused():
    adata = cells()
    adata.obs = adata.obs.rename(columns={"fov": "sample"})
    del adata.uns["spatial"]
    with pytest.raises(ValueError, match="bins would mix them; pass library_key='sample'"):
        s2s.pp.grid(adata, bin_size="auto")
    with pytest.warns(UserWarning, match=r"\['sample'\] has 4 values"):
        s2s.pp.grid(adata, bin_size="auto", spatial_key="spatial_fov")
    assert s2s.pp.grid(adata, bin_size=50, library_key="sample", upsample=1).n_obs > 390
