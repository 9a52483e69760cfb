import time
from io import BytesIO

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import s2s_scverse as s2s
from s2s_scverse.pl._grid import MARKS, TISSUE, grid_sites

BLUE, ORANGE, BLACK = (to_rgb(MARKS[kind][0]) for kind in ("measured", "held out", "unmeasured"))


@pytest.fixture
def small(make_lattice, build_section):
    """Three rows of three sites without the middle one: three measured, two held out, three unmeasured."""
    lattice = make_lattice("square", 3, 3).subset(np.arange(9) != 4)
    values = np.arange(8)
    return build_section(lattice, values, [1, 0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0], s2s=values)


def two_sections():
    made = {
        name: s2s.datasets.simulated_tissue(n_rows=n, n_cols=12, n_genes=6, rng=n, lattice=kind)
        for name, n, kind in (("a", 10, "hex"), ("b", 14, "square"))
    }
    return s2s.pp.grid(ad.concat(made, label="sample", index_unique="-"), library_key="sample")


def test_sites_of_each_kind(small):
    data = grid_sites(small)
    assert {kind: points.tolist() for kind, points in data.points.items()} == {
        "measured": [[100, 200], [120, 200], [100, 220]],
        "held out": [[110, 200], [100, 210]],
        "unmeasured": [[120, 210], [110, 220], [120, 220]],
    }
    assert data.box == (90, 130, 190, 230)
    assert sorted(len(ring) for ring in data.rings) == [4, 12]


def test_kinds_without_sites_are_left_out(small):
    small.obs["s2s_measured"] = True
    assert list(grid_sites(small).points) == ["measured"]
    axis = s2s.pl.grid(small, show=False)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["measured (8)", "outline"]


def test_sites_lie_where_their_coordinates_say_and_y_points_down(small, colour_at):
    axis = s2s.pl.grid(small, show=False)
    centres = [(100, 200), (110, 200), (120, 200), (100, 210), (120, 210), (100, 220), (110, 220), (120, 220)]
    found = colour_at(axis, *centres)
    expected = [BLUE, ORANGE, BLUE, ORANGE, BLACK, BLUE, BLACK, BLACK]
    np.testing.assert_allclose(found, expected, atol=0.02)
    # Between the sites there is tissue, in the hole and around there is none.
    np.testing.assert_allclose(colour_at(axis, (105, 216), (110, 210), (92, 192)), [to_rgb(TISSUE), (1,) * 3, (1,) * 3])
    pixels = axis.transData.transform([(100, 200), (100, 220), (120, 200)])
    assert pixels[1, 1] < pixels[0, 1]
    assert pixels[0, 1] - pixels[1, 1] == pytest.approx(pixels[2, 0] - pixels[0, 0])


def test_the_outline_is_drawn_on_the_border_of_tissue_and_hole(small, colour_at):
    axis = s2s.pl.grid(small, panel_size=6, show=False)
    pixel = 1 / 15  # in units of the coordinates; lines are moved to whole pixels

    def darkest(x, y):
        around = pixel * np.arange(-2, 3)
        return colour_at(axis, *((x + right, y + down) for right in around for down in around)).min()

    outer, hole = [(95, 203), (125, 217), (103, 195), (117, 225)], [(105, 208), (115, 212), (108, 205), (112, 215)]
    assert max(darkest(*point) for point in outer + hole) < 0.6
    assert min(darkest(*point) for point in [(105, 198), (115, 222), (123, 205)]) > 0.9  # borders of two sites


def test_spots_are_drawn_where_they_were_measured(small):
    small.obsm["other"] = small.obsm["spatial"] + 1
    assert grid_sites(small, spatial_key="other").points["measured"][0].tolist() == [101, 201]
    with pytest.raises(KeyError, match=r"adata\.obsm has no 'nope'"):
        s2s.pl.grid(small, spatial_key="nope")


def test_the_image_lies_below_the_sites(small, stained, colour_at):
    small.uns["spatial"] = stained
    axis = s2s.pl.grid(small, panel_size=6, show=False)
    found = colour_at(axis, (110, 210), (105, 216), (92, 192), (128, 228))
    np.testing.assert_allclose(found[:, :2] * 255, [(110, 210), (105, 216), (92, 192), (128, 228)], atol=2)
    np.testing.assert_allclose(colour_at(axis, (100, 200))[0], BLUE, atol=0.02)
    assert not s2s.pl.grid(small, img=False, show=False).images
    faint = s2s.pl.grid(small, img_alpha=0.5, show=False)
    np.testing.assert_allclose(colour_at(faint, (110, 210))[0, 2], 0.5, atol=0.02)


def test_every_kind_of_site_can_be_told_by_its_lightness_alone():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light = sorted(luminance(colour) + 0.05 for colour, _ in MARKS.values())
    assert min(light[1] / light[0], light[2] / light[1], (luminance(TISSUE) + 0.05) / light[2]) > 1.5


@pytest.mark.parametrize("size", [(3, 40), (40, 3), (1, 1), (1, 9)])
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
    assert axis.get_title() == ("square lattice" if name is None else f"{name}, square lattice")
    page, legend = figure.bbox, axis.get_legend().get_window_extent()
    for box in (axis.get_tightbbox(), legend):
        assert min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) >= -1
    assert legend.x0 >= axis.get_window_extent().x1


def test_several_sections():
    both = two_sections()
    for name, kind in (("a", "hex"), ("b", "square")):
        axis = s2s.pl.grid(both, library=name, show=False)
        assert axis.get_title() == f"{name}, {kind} lattice"
        alone = both[both.obs["sample"] == name]
        n = sum(len(points) for points in grid_sites(alone).points.values())
        assert n == alone.n_obs
    with pytest.raises(ValueError, match=r"adata holds 2 sections .* pass library="):
        s2s.pl.grid(both)
    with pytest.raises(KeyError, match="section 'c' not found; adata has: a, b"):
        s2s.pl.grid(both, library="c")


def test_return_types_and_axes_of_the_user(small, monkeypatch):
    assert isinstance(s2s.pl.grid(small, show=False), Axes)
    plt.close("all")
    assert isinstance(s2s.pl.grid(small, return_fig=True), Figure)
    assert plt.get_fignums() == []
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert s2s.pl.grid(small, show=True) is None
    figure, axis = plt.subplots()
    assert s2s.pl.grid(small, ax=axis) is axis
    assert s2s.pl.grid(small, ax=axis, return_fig=True) is figure
    assert shown == [1]


def test_files_hold_vectors_unless_asked_otherwise(small):
    def saved(**options):
        file = BytesIO()
        with mpl.rc_context({"svg.fonttype": "none"}):
            s2s.pl.grid(small, return_fig=True, **options).savefig(file, format="svg")
        return file.getvalue().decode()

    assert "<image" not in saved()
    assert ">measured (3)</text>" in saved()
    assert "<image" in saved(rasterized=True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"panel_size": 0}, ValueError, "panel_size must be positive and finite, found 0"),
        ({"alpha": 2}, ValueError, "alpha must be a number from 0"),
        ({"img_alpha": -1}, ValueError, "img_alpha must be a number from 0"),
        ({"img": True}, KeyError, "no image found"),
        ({"ax": "left"}, TypeError, "axes must be matplotlib axes, found str"),
    ],
)
def test_bad_arguments(small, options, error, match):
    with pytest.raises(error, match=match):
        s2s.pl.grid(small, **options)
    assert plt.get_fignums() == []


def test_no_lattice(small):
    del small.uns["s2s"]
    with pytest.raises(KeyError, match=r"call s2s\.pp\.grid again on the spots"):
        s2s.pl.grid(small)
    with pytest.raises(TypeError, match="expected an AnnData, found str"):
        s2s.pl.grid("adata")


def test_twenty_thousand_sites_are_quick(make_lattice, build_section):
    measured = np.arange(20_000) % 4 == 0
    adata = build_section(make_lattice("hex", 100, 200), np.ones(20_000), measured, np.arange(20_000) % 4 == 1)
    start = time.process_time()
    s2s.pl.grid(adata, return_fig=True).savefig(BytesIO(), dpi=150)
    assert time.process_time() - start < 2
