import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
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
    pixels = axis.transData.transform([(100, 200), (100, 220), (120, 200)])
    assert pixels[1, 1] < pixels[0, 1]
    assert pixels[0, 1] - pixels[1, 1] == pytest.approx(pixels[2, 0] - pixels[0, 0])
    small.obsm["other"] = small.obsm["spatial"] + 1
    assert grid_sites(*read_section(small), "other")["measured"][0].tolist() == [101, 201]
    small.obs["s2s_measured"] = True
    axis = s2s.pl.grid(small, show=False)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["measured (8)", "outline"]


def test_the_outline_is_drawn_on_the_border_of_tissue_and_hole(small, colour_at):
    axis = s2s.pl.grid(small, figsize=(8, 6), show=False)
    around = np.arange(-2, 3) / 15  # a pixel is about 1/15; lines are moved to whole pixels

    def darkest(x, y):
        return colour_at(axis, *((x + right, y + down) for right in around for down in around)).min()

    outer, hole = [(95, 203), (125, 217), (103, 195), (117, 225)], [(105, 208), (115, 212), (108, 205), (112, 215)]
    assert max(darkest(*point) for point in outer + hole) < 0.6
    assert min(darkest(*point) for point in [(105, 198), (115, 222), (123, 205)]) > 0.9  # borders of two sites


def test_the_image_lies_below_the_sites(small, stained, colour_at):
    small.uns["spatial"] = stained
    axis = s2s.pl.grid(small, bw=False, figsize=(8, 6), show=False)
    points = [(110, 210), (105, 216), (92, 192), (128, 228)]
    np.testing.assert_allclose(colour_at(axis, *points)[:, :2] * 255, points, atol=2)
    np.testing.assert_allclose(colour_at(axis, (100, 200))[0], BLUE, atol=0.02)
    assert not s2s.pl.grid(small, img=False, show=False).images
    faint = s2s.pl.grid(small, bw=False, img_alpha=0.5, show=False)
    np.testing.assert_allclose(colour_at(faint, (110, 210))[0, 2], 0.5, atol=0.02)
    assert np.ptp(colour_at(s2s.pl.grid(small, show=False), *points), axis=1).max() < 0.01  # grey


@pytest.mark.parametrize("size", [(3, 40), (40, 3), (1, 1)])
@pytest.mark.parametrize("name", [None, "a section with a long name"])
def test_nothing_is_cropped_and_the_legend_covers_no_data(make_lattice, build_section, size, name):
    lattice = make_lattice("square", *size)
    adata = build_section(lattice, np.ones(len(lattice)), np.ones(len(lattice)))
    if name is not None:
        adata.obs["sample"] = name
        adata.uns["s2s"]["grid"] = {"library_key": "sample", "sections": {name: adata.uns["s2s"]["grid"]}}
    figure = s2s.pl.grid(adata, return_fig=True)
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert axis.get_title(loc="left").replace("\n", " ") == (
        "square lattice" if name is None else f"{name}, square lattice"
    )
    page, legend = figure.bbox, axis.get_legend().get_window_extent()
    for box in (axis.get_tightbbox(), legend):
        assert min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) >= -1
    assert legend.x0 >= axis.get_window_extent().x1


def test_beyond_a_thousand_sites_an_inset_shows_some(make_lattice, build_section, stained):
    lattice = make_lattice("square", 40, 40)
    measured = np.all(lattice.index % 2 == 0, axis=1)
    adata = build_section(lattice, np.ones(len(lattice)), measured)
    axis = s2s.pl.grid(adata, show=False)
    (inset,) = axis.child_axes
    discs = [each for each in (axis, inset) if any(isinstance(c, EllipseCollection) for c in each.collections)]
    assert discs == [inset]
    assert np.ptp(inset.get_xlim()) == pytest.approx(7 * 20)
    assert axis.get_legend().get_texts()[0].get_text() == "measured (400)"
