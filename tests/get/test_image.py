import numpy as np
import pytest

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


def test_held_out_values_are_not_shown(section):
    hidden = section.obs["s2s_held_out"].to_numpy()
    image = s2s.get.image(section)
    assert int(image["measured"].sum()) == int(section.obs["s2s_measured"].sum())
    assert int(np.isfinite(image[0]).sum()) == int(section.obs["s2s_measured"].sum())
    section.X = section.X.toarray()
    section.X[hidden] = 99
    assert image.identical(s2s.get.image(section))
