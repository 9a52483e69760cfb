import numpy as np
import pytest
from scipy import sparse

import s2s_scverse as s2s


@pytest.fixture
def dense(hand_drawn):
    return s2s.pp.grid(hand_drawn("### #.# ###", pitch=10), upsample=1)


def test_values_masks_and_coordinates(dense):
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


def test_genes_in_the_order_asked_for_and_layers_everywhere(dense):
    s2s.tl.interpolate(dense, "nearest")
    image = s2s.get.image(dense, ["1", "0"], layer="nearest")
    assert image["gene"].values.tolist() == ["1", "0"]
    assert image.notnull().all()
    np.testing.assert_array_equal(image.sel(gene="0")[0], [0, 1, 2])
    assert image.name == "nearest"


def test_only_imputed_layers_have_values_at_unmeasured_sites(dense):
    dense.layers["mine"] = np.full(dense.shape, 7.0)
    image = s2s.get.image(dense, layer="mine")
    assert (image.values[:, image["measured"].values] == 7).all()
    assert np.isnan(image[:, 1, 1]).all()


def test_sparse_equals_dense_and_blocks_do_not_matter(section, monkeypatch):
    expected = s2s.get.image(section)
    section.X = sparse.csc_matrix(section.X)
    monkeypatch.setattr("s2s_scverse.get._image.GENE_BLOCK", 5)
    assert expected.identical(s2s.get.image(section))


def test_held_out_values_are_not_shown(section):
    hidden = section.obs["s2s_held_out"].to_numpy()
    image = s2s.get.image(section)
    assert int(image["measured"].sum()) == int(section.obs["s2s_measured"].sum())
    assert int(np.isfinite(image[0]).sum()) == int(section.obs["s2s_measured"].sum())
    section.X = section.X.toarray()
    section.X[hidden] = 99
    assert image.identical(s2s.get.image(section))
