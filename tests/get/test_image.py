import numpy as np
import pytest

import s2s_scverse as s2s


@pytest.fixture
def dense(hand_drawn):
    return s2s.pp.grid(hand_drawn("### #.# ###", pitch=10), upsample=1)


def test_values_masks_and_coordinates_of_genes_and_layers(dense, monkeypatch):
    monkeypatch.setattr("s2s_scverse.get._image.GENE_BLOCK", 1)
    image = s2s.get.image(dense)
    assert image.dims == ("gene", "row", "col")
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.sel(gene="1")[0], [0, 2, 4])
    np.testing.assert_array_equal(image.sel(gene="1")[2], [40, 42, 44])
    assert np.isnan(image[:, 1, 1]).all()
    assert image["tissue"].values.all()
    assert np.argwhere(~image["measured"].values).tolist() == [[1, 1]]
    assert float(image["x"][0, 2]) == pytest.approx(20)
    assert float(image["y"][0, 2]) == pytest.approx(0)
    s2s.tl.interpolate(dense, "nearest")
    image = s2s.get.image(dense, ["1", "0"], layer="nearest")
    assert image["gene"].values.tolist() == ["1", "0"]
    assert image.notnull().all()
    np.testing.assert_array_equal(image.sel(gene="0")[0], [0, 1, 2])
    assert image.name == "nearest"
    dense.layers["mine"] = np.full(dense.shape, 7.0)
    image = s2s.get.image(dense, layer="mine")
    assert (image.values[:, image["measured"].values] == 7).all()
    assert np.isnan(image[:, 1, 1]).all()


@pytest.mark.parametrize("shape", ["square", "hex"])
def test_every_cell_gets_the_values_of_its_own_bin_on_the_dense_lattice_too(shape):
    cells = s2s.datasets.simulated_tissue(lattice="cells", n_rows=12, n_cols=14, n_genes=6)
    dense = s2s.pp.grid(cells, bin_size=130, bin_shape=shape, upsample=1)
    found = s2s.get.at(dense, cells, layer=None)
    assert found.index.equals(cells.obs_names)
    assert found.columns.tolist() == cells.var_names.tolist()
    # By hand: the bin whose centre is nearest, and what it was summed to.
    centres = dense.obsm["spatial"][dense.obs["s2s_measured"]]
    nearest = np.linalg.norm(cells.obsm["spatial"][:, None] - centres, axis=2).argmin(axis=1)
    sums = np.zeros((len(centres), 6))
    np.add.at(sums, nearest, cells.X.toarray())
    np.testing.assert_array_equal(found.to_numpy(), sums[nearest])
    dense = s2s.pp.grid(cells, bin_size=130, bin_shape=shape, upsample=2)
    s2s.tl.interpolate(dense, "linear")
    np.testing.assert_array_equal(s2s.get.at(dense, cells, layer=None), sums[nearest])
    found = s2s.get.at(dense, cells, layer="linear")
    assert found.notna().all(axis=None)
    distance = np.linalg.norm(cells.obsm["spatial"][:, None] - dense.obsm["spatial"], axis=2)
    np.testing.assert_array_equal(found, dense.layers["linear"][distance.argmin(axis=1)])


def test_points_get_the_values_of_the_site_where_it_was_measured_and_none_outside(hand_drawn):
    dense = s2s.pp.grid(hand_drawn("### ### ###", pitch=10.0), upsample=2)
    s2s.tl.interpolate(dense, "linear")
    points = np.array([[0.0, 0.0], [5.1, 0.2], [10.0, 10.0], [-8.0, 0.0], [24.9, 20.0]])
    found = s2s.get.at(dense, points, dense.var_names[1], layer="linear")
    np.testing.assert_allclose(found[dense.var_names[1]], [0, 1, 22, np.nan, 44], atol=1e-5)
    measured = s2s.get.at(dense, points, layer=None)
    np.testing.assert_array_equal(measured[dense.var_names[1]], [0, 2, 22, np.nan, 44])
