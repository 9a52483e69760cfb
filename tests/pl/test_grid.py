import numpy as np
import pytest
from matplotlib.colors import to_rgb

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse.pl._grid import MARKS, TISSUE, grid_sites

BLUE, ORANGE, BLACK = (to_rgb(MARKS[kind][0]) for kind in ("measured", "held out", "unmeasured"))


@pytest.fixture
def small(make_lattice, build_section):
    """Three rows of three sites without the middle one: three measured, two held out, three unmeasured."""
    lattice = make_lattice("square", 3, 3).subset(np.arange(9) != 4)
    values = np.arange(8)
    return build_section(lattice, values, [1, 0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0], s2s=values)


def test_sites_of_each_kind_lie_where_their_coordinates_say_and_y_points_down(small, colour_at):
    axis = s2s.pl.grid(small, show=False)
    centres = [(100, 200), (110, 200), (120, 200), (100, 210), (120, 210), (100, 220), (110, 220), (120, 220)]
    expected = [BLUE, ORANGE, BLUE, ORANGE, BLACK, BLUE, BLACK, BLACK]
    np.testing.assert_allclose(colour_at(axis, *centres), expected, atol=0.02)
    # Between the sites there is tissue, in the hole and around there is none.
    np.testing.assert_allclose(colour_at(axis, (105, 216), (110, 210), (92, 192)), [to_rgb(TISSUE), (1,) * 3, (1,) * 3])
    assert axis.yaxis_inverted()
    small.obsm["other"] = small.obsm["spatial"] + 1
    assert grid_sites(*read_section(small), "other")["measured"][0].tolist() == [101, 201]
    small.obs["s2s_measured"] = True
    axis = s2s.pl.grid(small, show=False)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["measured (8)", "outline"]
