"""To spatialdata and back; its own import warns of other packages, which is not ours to judge."""

import sys

import anndata as ad
import numpy as np
import pytest

import s2s_scverse as s2s

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def hexagonal():
    adata = s2s.datasets.simulated_tissue(lattice="hex", n_rows=12, n_cols=9, n_genes=6)
    dense = s2s.pp.grid(adata, upsample=2)
    s2s.tl.interpolate(dense, "linear")
    return dense


def test_image_and_coordinates_lie_where_the_sites_lie(hexagonal):
    import spatialdata as sd

    image = s2s.get.spatialdata_image(hexagonal, ["domain_1", "rare_1"], layer="linear")
    assert image.dims == ("c", "y", "x")
    assert image["c"].to_numpy().tolist() == ["domain_1", "rare_1"]
    matrix = sd.transformations.get_transformation(image).to_affine_matrix(("x", "y"), ("x", "y"))
    row, col = np.nonzero(~np.isnan(image.sel(c="domain_1").to_numpy()))
    at = np.c_[col + 0.5, row + 0.5, np.ones(len(row))] @ matrix.T
    values = s2s.get.at(hexagonal, at[:, :2], "domain_1", layer="linear")["domain_1"].to_numpy()
    np.testing.assert_array_equal(values, image.sel(c="domain_1").to_numpy()[row, col])
    assert len(row) == hexagonal.n_obs
    sdata = s2s.get.spatialdata(hexagonal)
    scaled = sd.transformations.Scale([2.0, 2.0], axes=("x", "y"))
    sd.transformations.set_transformation(sdata["sites"], scaled, to_coordinate_system="half")
    found = s2s.pp.from_spatialdata(sdata, coordinate_system="half")
    np.testing.assert_allclose(found.obsm["spatial"], 2 * hexagonal.obsm["spatial"])


def test_several_sections_become_several_regions_with_names_of_their_own(hand_drawn):
    both = ad.concat({"one": hand_drawn("### ### ###"), "two": hand_drawn("#### ####")}, label="s", index_unique="-")
    sdata = s2s.get.spatialdata(s2s.pp.grid(both, library_key="s"))
    assert set(sdata.shapes) == {"sites_one", "sites_two"}
    again = s2s.pp.from_spatialdata(sdata)
    spots = again[again.obs["s2s_measured"]]
    assert s2s.pp.grid(spots, library_key="s2s_region").n_obs == again.n_obs
    both = ad.concat({"s 1": hand_drawn("### ###"), "s_1": hand_drawn("### ###")}, label="s", index_unique="-")
    with pytest.raises(ValueError, match=r"names of sections become the same in spatialdata .* rename them"):
        s2s.get.spatialdata(s2s.pp.grid(both, library_key="s"))


def test_without_spatialdata_the_error_says_what_to_install(hexagonal, monkeypatch):
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(ImportError, match=r"needs the package spatialdata .* pip install 's2s-scverse\[spatialdata"):
        s2s.get.spatialdata(hexagonal)


def stained_visium():
    """A section as spatialdata-io reads Visium: circles in pixels of the full image, and that image made smaller."""
    import spatialdata as sd

    adata = s2s.datasets.simulated_tissue(lattice="hex", n_rows=12, n_cols=9, n_genes=6)
    at = adata.obsm.pop("spatial")
    scale = sd.transformations.Scale([10.0, 10.0], axes=("x", "y"))
    to_pixels = sd.transformations.Scale([2.0, 2.0], axes=("x", "y"))
    shapes = sd.models.ShapesModel.parse(at, geometry=0, radius=27.5, transformations={"global": to_pixels})
    image = sd.models.Image2DModel.parse(
        np.random.default_rng(0).integers(0, 255, (3, 200, 220), dtype=np.uint8), transformations={"global": scale}
    )
    adata.obs["region"], adata.obs["spot"] = "spots", np.arange(adata.n_obs)
    adata.obs["region"] = adata.obs["region"].astype("category")
    table = sd.models.TableModel.parse(adata, region="spots", region_key="region", instance_key="spot")
    return sd.SpatialData(images={"stain": image}, shapes={"spots": shapes}, tables={"table": table}), at


def test_the_dense_section_joins_its_image(tmp_path):
    import spatialdata as sd

    sdata, at = stained_visium()
    spots = s2s.pp.from_spatialdata(sdata)
    np.testing.assert_allclose(spots.obsm["spatial"], 2 * at)
    dense = s2s.pp.grid(spots, upsample=2)
    s2s.tl.interpolate(dense, "linear")
    assert s2s.get.spatialdata(dense, into=sdata) is sdata
    assert set(sdata.tables) == {"table", "sites_table"}
    sdata["alone"] = dense  # new sites are no instances of the spots
    sdata.write(tmp_path / "section.zarr")
    back = sd.read_zarr(tmp_path / "section.zarr")
    np.testing.assert_array_equal(back["stain"], sdata["stain"])
    again = s2s.pp.from_spatialdata(back, table="sites_table")
    np.testing.assert_allclose(again.obsm["spatial"], dense.obsm["spatial"])
    np.testing.assert_array_equal(again.layers["linear"], dense.layers["linear"])
    np.testing.assert_allclose(back["sites"]["radius"], 50)
    assert s2s.pp.grid(again[again.obs["s2s_measured"]], upsample=2).n_obs == dense.n_obs
    del back.shapes["sites"]
    with pytest.raises(KeyError, match="annotates 'sites', which the SpatialData does not have"):
        s2s.pp.from_spatialdata(back, table="sites_table")
    before = set(sdata.shapes)
    with pytest.raises(ValueError, match="into has elements named sites, sites_table already; delete them"):
        s2s.get.spatialdata(dense, into=sdata)
    with pytest.raises(KeyError, match="coordinate system 'aligned' not found; into has: global"):
        s2s.get.spatialdata(dense, into=sdata, region="more", coordinate_system="aligned")
    assert set(sdata.shapes) == before
