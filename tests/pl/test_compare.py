from io import BytesIO

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse.pl._compare import map_rows
from s2s_scverse.pl._drawing import micrometres_per_unit
from s2s_scverse.pl._maps import NOTHING, colour_limits

NAN = np.nan
VIRIDIS, GREY = mpl.colormaps["viridis"], to_rgba(NOTHING)


@pytest.fixture
def small(make_lattice, build_section):
    """Two rows of three sites: three measured, two held out, one never measured."""
    layers = {"s2s": [0, 1.5, 2, 2.5, 4, 3], "linear": [0, 2, 2, 2, 4, 2]}
    return build_section(
        make_lattice("square", 2, 3), [0, 1, 2, 3, 4, 0], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0], **layers
    )


def by_name(row):
    return {panel.title: panel.by_site.tolist() for panel in row.panels}


def notes(adata, **options):
    return [panel.note for panel in map_rows(adata, "gene", **options)[0].panels]


def bars(axes):
    return [bar for axis in axes.flat for bar in axis.child_axes]


# What is shown


def test_panels_hold_the_values_of_each_kind_of_site(small):
    (row,) = map_rows(small, "gene", keys=["s2s", "linear"])
    np.testing.assert_equal(
        by_name(row),
        {
            "measured": [0, NAN, 2, NAN, 4, NAN],
            "s2s": [0, 1.5, 2, 2.5, 4, 3],
            "linear": [0, 2, 2, 2, 4, 2],
            "truth": [0, 1, 2, 3, 4, NAN],
            "s2s − truth": [NAN, 0.5, NAN, -0.5, NAN, NAN],
            "linear − truth": [NAN, 1, NAN, -1, NAN, NAN],
        },
    )
    assert notes(small, keys=["s2s", "linear"]) == ["", "", "", "", "PCC 1.00", "PCC 0.00"]
    changed = small.copy()
    changed.layers["s2s"] = -changed.X
    assert notes(changed)[-1] == "PCC −1.00"
    changed.X[:] = 1
    assert notes(changed)[-1] == "PCC undefined"
    small.obs["s2s_visible"] = True
    assert notes(small, keys=["s2s", "linear"])[-2:] == ["saw the truth", "PCC 0.00"]
    del small.obs["s2s_held_out"]
    assert [panel.title for panel in map_rows(small, "gene")[0].panels] == ["measured", "imputed"]


def test_genes_come_in_the_order_asked_for_and_rows_side_by_side(make_lattice, build_section):
    values = np.arange(12).reshape(6, 2)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a$_1$", "b"), s2s=values)
    rows = map_rows(adata, ["b", "a$_1$"])
    assert rows[0].panels[0].by_site.tolist() == values[:, 1].tolist()
    axes = s2s.pl.compare(adata, ["b", "a$_1$"], show=False)
    assert [[axis.get_title() for axis in row] for row in axes] == [["measured", "imputed"], ["", ""]]
    assert [[axis.get_ylabel() for axis in row] for row in axes] == [["b", ""], ["a$_1$", ""]]
    values = np.arange(18).reshape(6, 3)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a", "b", "c"), s2s=values)
    axes = s2s.pl.compare(adata, ["a", "b", "c"], columns="imputed", ncols=2, show=False)
    assert axes.shape == (3, 1)
    positions = [axis.get_subplotspec().get_geometry()[2] for axis in axes.flat]
    assert positions == [0, 1, 2]
    assert len(axes[0, 0].figure.axes) == 3
    assert [axis.get_title() for axis in axes.flat] == ["imputed", "imputed", ""]
    assert {axis.yaxis.label.get_style() for axis in axes.flat} == {"italic"}


@pytest.mark.parametrize(
    ("values", "vmin", "vmax", "expected"),
    [
        pytest.param(range(101), "p1", "p99", (1, 99), id="percentiles"),
        pytest.param(range(101), 5, "p97.5", (5, 97.5), id="a number and a percentile"),
        pytest.param(range(101), -1, 7, (-1, 7), id="numbers"),
        pytest.param([0] * 999 + [5], "p1", "p99", (0, 5), id="a gene of one spot"),
        pytest.param([3] * 10, "p1", "p99", (3, 4), id="constant"),
        pytest.param([3] * 10, "p1", 2, (1, 2), id="below all"),
    ],
)
def test_colour_limits(values, vmin, vmax, expected):
    assert colour_limits(np.array(values, np.float32), vmin, vmax) == expected


def test_limits_do_not_depend_on_held_out_or_imputed_values(small):
    before = map_rows(small, "gene")[0]
    small.X[small.obs["s2s_held_out"]] = 1e6
    small.layers["s2s"][~small.obs["s2s_measured"]] = -1e6
    assert before.limits == map_rows(small, "gene")[0].limits
    assert before.limits["expression"] == pytest.approx((0.04, 3.96))
    assert before.limits["error"] == pytest.approx((-1.96, 1.96))


def test_values_are_those_that_the_run_read(small):
    small.layers["log"] = small.X + 10
    small.uns["s2s"]["s2s"] = {"layer": "log"}
    small.uns["log1p"] = {}
    assert map_rows(small, "gene")[0].panels[0].by_site[0] == 10
    assert map_rows(small, "gene", keys="linear")[0].panels[0].by_site[0] == 0
    assert map_rows(small, "gene", keys="linear", layer="log")[0].panels[0].by_site[0] == 10
    labels = [bars(s2s.pl.compare(small, "gene", keys=key, show=False))[0].get_ylabel() for key in ("s2s", "linear")]
    assert labels == ["expression", "expression (log1p)"]


# How it is drawn


def test_pixels_of_sites_have_the_colours_of_their_values(small, colour_at):
    axes = s2s.pl.compare(small, "gene", vmin=0, vmax=4, show=False)
    assert [axis.get_title() for axis in axes[0]] == ["measured", "imputed", "truth", "imputed − truth"]
    measured, imputed, truth, error = axes[0]
    found = colour_at(measured, (100, 200), (110, 200), (120, 200), (110, 210))
    np.testing.assert_allclose(found, np.array([VIRIDIS(0.0), GREY, VIRIDIS(0.5), VIRIDIS(1.0)])[:, :3], atol=0.01)
    # Corners of a cell have its colour too, those of another value another.
    found = colour_at(imputed, (106, 196), (114, 204), (106, 206), (114, 214))
    np.testing.assert_allclose(found, np.array([VIRIDIS(1.5 / 4)] * 2 + [VIRIDIS(1.0)] * 2)[:, :3], atol=0.01)
    found = colour_at(truth, (100, 210), (120, 210))
    np.testing.assert_allclose(found, np.array([VIRIDIS(0.75), GREY])[:, :3], atol=0.01)
    reds = mpl.colormaps["RdBu_r"]
    found = colour_at(error, (110, 200), (100, 210), (100, 200), (120, 210))
    np.testing.assert_allclose(
        found, np.array([reds(0.5 + 0.5 / 4), reds(0.5 - 0.5 / 4), GREY, GREY])[:, :3], atol=0.01
    )
    for axis in axes[0]:
        more = 5 * (np.sqrt(2) - 1)  # half of the sites are measured: their cells are wider
        assert axis.get_xlim() == pytest.approx((95 - more, 125 + more))
        assert axis.get_ylim() == pytest.approx((215 + more, 195 - more))
        box = axis.get_window_extent()
        assert box.width / box.height == pytest.approx((30 + 2 * more) / (20 + 2 * more))


def test_colour_bars_say_what_they_show(small):
    small.uns["log1p"] = {}
    values, errors = bars(s2s.pl.compare(small, "gene", show=False))
    assert (values.get_ylabel(), errors.get_ylabel()) == ("expression (log1p)", "error (log1p)")
    assert (values._colorbar.extend, errors._colorbar.extend) == ("both", "neither")
    assert values._colorbar.vmin == pytest.approx(0.04)
    values, _ = bars(s2s.pl.compare(small, "gene", unit="counts", vmin="p0", vmax="p100", show=False))
    assert values.get_ylabel() == "expression (counts)"
    assert values._colorbar.extend == "neither"


@pytest.mark.parametrize(("rows", "cols"), [(60, 4), (3, 60), (1, 1)])
def test_nothing_overlaps_at_any_shape(make_lattice, build_section, rows, cols):
    genes = [f"ENSMUSG0000000{i}" for i in range(3)]
    values = np.random.default_rng(0).random((rows * cols, 3))
    measured = np.arange(rows * cols) % 2 == 0
    adata = build_section(
        make_lattice("square", rows, cols), values, measured, ~measured, genes=genes, s2s=values, a_long_name=values / 2
    )
    figure = s2s.pl.compare(adata, genes, keys=["s2s", "a_long_name"], return_fig=True)
    figure.draw_without_rendering()
    page, boxes = figure.bbox, [axis.get_tightbbox() for axis in figure.axes]
    for i, box in enumerate(boxes):
        assert min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) >= -1
        for other in boxes[:i]:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(wide, high) < 2


@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_cells_of_all_and_of_every_second_site_are_drawn_without_gaps(make_lattice, build_section, colour_at, kind):
    lattice = make_lattice(kind, 13, 13)
    measured, ones = np.all(lattice.index % 2 == 0, axis=1), np.ones(len(lattice))
    axes = s2s.pl.compare(build_section(lattice, ones, measured, s2s=ones), "gene", show=False)
    middle = lattice.coordinates.mean(axis=0)
    for axis in axes[0, :2]:  # measured, imputed
        found = colour_at(axis, *(middle + np.random.default_rng(0).uniform(-2, 2, (4000, 2)) * lattice.pitch))
        # Of the white below, less than a twentieth shines through where cells meet.
        np.testing.assert_allclose(found, np.broadcast_to(VIRIDIS(0.0)[:3], found.shape), atol=0.05)


def test_columns(small):
    small.layers["s2s_std"] = np.where(small.obs["s2s_measured"], 0, 0.5)[:, None].astype(np.float32)
    small.var["s2s_reliability"] = 0.5
    axes = s2s.pl.compare(small, "gene", columns=["image", "imputed", "std"], show=False)
    assert [axis.get_title() for axis in axes[0]] == ["image", "imputed", "standard deviation"]
    assert [axis.get_xlabel() for axis in axes[0]][:2] == ["", "reliability 0.50"]
    assert [bar.get_ylabel() for bar in bars(axes)] == ["expression", "SD"]
    with pytest.raises(KeyError, match="run 'linear' has no standard deviations"):
        s2s.pl.compare(small, "gene", keys=["s2s", "linear"], columns="std")
    with pytest.raises(ValueError, match=r"each of columns must be one of 'image', .*found 'sd'"):
        s2s.pl.compare(small, "gene", columns="sd")
    del small.obs["s2s_held_out"]
    titles = [axis.get_title() for axis in s2s.pl.compare(small, "gene", show=False)[0]]
    assert titles == ["measured", "imputed", "standard deviation"]
    with pytest.raises(ValueError, match="no spot is held out"):
        s2s.pl.compare(small, "gene", columns=["truth"])


@pytest.fixture
def two(small):
    """The same section twice, the second a hundred times as high."""
    other = small.copy()
    other.X[:], other.layers["s2s"][:] = 100 * other.X, 100 * other.layers["s2s"]
    both = ad.concat([small, other], keys=["A", "B"], label="slide", index_unique="-")
    grid = small.uns["s2s"]["grid"]
    both.uns["s2s"] = {"grid": {"library_key": "slide", "sections": {"A": grid, "B": grid}}}
    return both


def test_several_sections_are_rows_with_the_same_colours(two):
    axes = s2s.pl.compare(two, "gene", show=False)
    assert [axis.get_xlabel() for axis in axes[:, 0]] == ["A", "B"]
    limits = [row.limits["expression"] for row in map_rows(two, "gene")]
    assert limits[0] == limits[1] == pytest.approx(np.percentile([0, 2, 4, 0, 200, 400], [1, 99]))
    assert s2s.pl.compare(two, "gene", library_id="B", show=False).shape == (1, 4)
    grids = s2s.pl.grid(two, title=["first", "second"], show=False)
    assert [axis.get_title(loc="left") for axis in grids] == ["first", "second"]
    two.obsm["s2s_image"] = np.arange(12, dtype=float)[:, None]
    assert s2s.pl.image_features(two, show=False).shape == (2, 1)


@pytest.mark.parametrize(
    ("uns", "options", "expected"),
    [
        pytest.param({}, {}, None, id="unknown"),
        pytest.param({"spatial_unit": "micron"}, {}, "5 µm", id="micrometres"),
        pytest.param({"spatial_unit": "pixel"}, {}, None, id="pixels"),
        pytest.param({}, {"scalebar_dx": 100}, "500 µm", id="given"),
        pytest.param({"spatial_unit": "um"}, {"scalebar_dx": 0}, None, id="none"),
    ],
)
def test_a_scale_bar_stands_below_the_first_panel_if_the_unit_is_known(small, uns, options, expected):
    small.uns.update(uns)
    axes = s2s.pl.compare(small, "gene", show=False, **options)[0]
    found = [child.txt_label.get_text() for axis in axes for child in axis.artists]
    assert found == ([] if expected is None else [expected])


def test_visium_spots_are_100_micrometres_apart(make_lattice, build_section, stained):
    lattice = make_lattice("hex", 6, 6)  # pitch 10 between sites, 20 between spots
    values = np.ones(len(lattice))
    adata = build_section(lattice, values, values, s2s=values)
    adata.uns["s2s"]["grid"]["stride"] = 2
    stained["library"]["scalefactors"]["spot_diameter_fullres"] = 6.5
    adata.uns["spatial"] = stained
    assert micrometres_per_unit(adata, read_section(adata)[1], None) == pytest.approx(5)
    stained["library"]["scalefactors"]["spot_diameter_fullres"] = 9.0
    assert micrometres_per_unit(adata, read_section(adata)[1], None) is None
    stained["library"]["scalefactors"]["microns_per_pixel"] = 0.25
    assert micrometres_per_unit(adata, read_section(adata)[1], None) == 0.25


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_sites_on_an_image_show_it_as_far_as_they_are_translucent_and_no_seams(small, stained, colour_at, alpha):
    small.uns["spatial"] = stained
    assert not any(axis.images for axis in s2s.pl.compare(small, "gene", img=False, show=False).flat)
    assert [len(axis.images) for axis in s2s.pl.compare(small, "gene", show=False)[0]] == [2, 2, 2, 0]
    small.layers["s2s"][:] = 4
    measured, imputed, *_ = s2s.pl.compare(small, "gene", img="hires", bw=False, alpha=alpha, show=False)[0]
    points = np.random.default_rng(0).uniform((96, 196), (124, 214), (500, 2))
    expected = alpha * np.array(VIRIDIS(1.0)[:2]) + (1 - alpha) * points / 255
    # An image pixel is two units wide.
    np.testing.assert_allclose(colour_at(imputed, *points)[:, :2], expected, atol=7 / 255)
    unmeasured = np.array([(110, 200), (100, 210), (120, 210), (110, 201)])
    np.testing.assert_allclose(colour_at(measured, *unmeasured)[:, :2] * 255, unmeasured, atol=2)


def test_the_image_beneath_expression_is_pale_grey_unless_asked_otherwise(small, stained, colour_at):
    small.uns["spatial"] = stained
    image, measured = s2s.pl.compare(small, "gene", columns=["image", "measured"], show=False)[0]
    unmeasured = np.array([(110, 200), (100, 210), (120, 210)])
    np.testing.assert_allclose(colour_at(image, *unmeasured)[:, :2] * 255, unmeasured, atol=2)
    found = colour_at(measured, *unmeasured)
    assert np.ptp(found, axis=1).max() < 0.01
    # Luminances of the image, and its percentiles 2 and 98.
    grey = stained["library"]["images"]["hires"] / 255 @ [0.2125, 0.7154, 0.0721]
    low, high = np.percentile(grey, (2, 98))
    expected = 0.6 + 0.4 * (unmeasured / 255 @ [0.2125, 0.7154] - low) / (high - low)
    np.testing.assert_allclose(found[:, 0], expected, atol=0.02)


def test_files_hold_vectors_unless_asked_otherwise(small):
    for plot, genes in ((s2s.pl.compare, ["gene"]), (s2s.pl.grid, [])):
        for rasterized in (False, True):
            file = BytesIO()
            plot(small, *genes, return_fig=True, rasterized=rasterized).savefig(file, format="svg")
            assert (b"<image" in file.getvalue()) == rasterized


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        pytest.param(0.5, 2, (0.5, 2), id="wide"),
        pytest.param(0.5, 1, (0.5, 1), id="a factor of two"),
        pytest.param(1, 1, (0.5**0.5, 2**0.5), id="constant"),
        pytest.param(0.8, 1.2, (0.48**0.5, 1.92**0.5), id="narrow"),
        pytest.param(0, 0, (0, 1), id="a constant gene"),
    ],
)
def test_colours_span_a_factor_of_two_around_the_same_middle(make_lattice, build_section, low, high, expected):
    lattice = make_lattice("square", 1, 402)
    std = np.r_[0, 0, np.full(200, low), np.full(200, high)]
    adata = build_section(lattice, np.arange(402), np.arange(402) < 2, s2s=np.ones(402), s2s_std=std)
    assert map_rows(adata, "gene", **STD)[0].limits["SD"] == pytest.approx(expected)


@pytest.fixture
def uncertain(make_lattice, build_section):
    """Two rows of three sites, three measured, imputed with uncertainty."""
    values, std = {"s2s": [0, 1.5, 2, 2.5, 4, 3]}, {"s2s_std": [0, 0.5, 0, 1, 0, 2]}
    adata = build_section(make_lattice("square", 2, 3), [0, 0, 2, 0, 4, 0], [1, 0, 1, 0, 1, 0], **values, **std)
    adata.var["s2s_reliability"] = 0.625
    return adata


STD = {"columns": ("imputed", "std")}


def test_values_and_their_uncertainty(uncertain, colour_at):
    axes = s2s.pl.uncertainty(uncertain, "gene", vmin=0, vmax=4, show=False)
    imputed, std = axes[0]
    assert [axis.get_title() for axis in axes[0]] == ["imputed", "standard deviation"]
    assert [axis.get_xlabel() for axis in axes[0]] == notes(uncertain, **STD)
    centres = [(100, 200), (110, 200), (120, 200), (100, 210), (110, 210), (120, 210)]
    viridis, magma, grey = mpl.colormaps["viridis"], mpl.colormaps["magma"], to_rgb(NOTHING)
    values = np.array([0, 1.5, 2, 2.5, 4, 3])
    np.testing.assert_allclose(colour_at(imputed, *centres), viridis(values / 4)[:, :3], atol=0.01)
    expected = [grey, magma(0.0)[:3], grey, magma(0.49 / 1.47)[:3], grey, magma(1.0)[:3]]
    np.testing.assert_allclose(colour_at(std, *centres), expected, atol=0.02)
    labels = [bar.get_ylabel() for axis in axes.flat for bar in axis.child_axes]
    assert labels == ["expression", "SD"]
    theirs = s2s.pl.compare(uncertain, "gene", vmin=0, vmax=4, show=False)[0, 1].collections[-1]
    assert imputed.collections[-1].get_clim() == theirs.get_clim()
    row = map_rows(uncertain, "gene", vmin="p0", vmax="p100", **STD)[0]
    imputed, std = row.panels
    assert imputed.by_site.tolist() == [0, 1.5, 2, 2.5, 4, 3]
    np.testing.assert_equal(std.by_site, np.array([NAN, 0.5, NAN, 1, NAN, 2], np.float32))
    assert row.limits == {"expression": (0, 4), "SD": pytest.approx((0.51, 1.98))}
    # The median at unmeasured sites is 1, the standard deviation of 0, 2 and 4 is sqrt(8 / 3).
    assert notes(uncertain, **STD) == ["reliability 0.62", "0.61 × SD of spots"]
    uncertain.layers["s2s_std"][0] = 0.1  # denoised spots are uncertain too, but do not count as unmeasured
    assert map_rows(uncertain, "gene", **STD)[0].panels[1].by_site[0] == np.float32(0.1)
    assert notes(uncertain, **STD)[1] == "0.61 × SD of spots"
    uncertain.var["s2s_reliability"] = -0.1
    assert notes(uncertain, **STD)[0] == "reliability −0.10"
    uncertain.var["s2s_reliability"] = NAN
    uncertain.X[:] = 1
    assert notes(uncertain, **STD) == ["", ""]
    del uncertain.var["s2s_reliability"]
    uncertain.layers["s2s_std"][:] = 0
    assert map_rows(uncertain, "gene", **STD)[0].limits["SD"] == (0, 1)
    assert s2s.pl.uncertainty(uncertain, "gene", show=False).shape == (1, 2)
