from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import s2s_scverse as s2s
from s2s_scverse.pl._compare import compare_data
from s2s_scverse.pl._maps import NOTHING, colour_limits

NAN = np.nan
VIRIDIS, GREY = mpl.colormaps["viridis"], to_rgba(NOTHING)


@pytest.fixture
def small(make_lattice, build_section):
    """Two rows of three sites: three measured, two held out, one never measured."""
    return build_section(
        make_lattice("square", 2, 3),
        [0, 1, 2, 3, 4, 0],
        [1, 0, 1, 0, 1, 0],
        [0, 1, 0, 1, 0, 0],
        s2s=[0, 1.5, 2, 2.5, 4, 3],
        linear=[0, 2, 2, 2, 4, 2],
    )


def by_name(row):
    return {panel.title: panel.by_site.tolist() for panel in row.panels}


def notes(adata, **options):
    return [panel.note for panel in compare_data(adata, "gene", **options).rows[0].panels]


def bars(axes):
    return [bar for axis in axes.flat for bar in axis.child_axes]


# What is shown


def test_panels_hold_the_values_of_each_kind_of_site(small):
    (row,) = compare_data(small, "gene", keys=["s2s", "linear"]).rows
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
    assert [panel.title for panel in compare_data(small, "gene").rows[0].panels] == ["measured", "imputed"]


def test_genes_come_in_the_order_asked_for(make_lattice, build_section):
    values = np.arange(12).reshape(6, 2)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a$_1$", "b"), s2s=values)
    rows = compare_data(adata, ["b", "a$_1$"]).rows
    assert rows[0].panels[0].by_site.tolist() == values[:, 1].tolist()
    axes = s2s.pl.compare(adata, ["b", "a$_1$"], show=False)
    assert [[axis.get_title() for axis in row] for row in axes] == [["measured", "imputed"], ["", ""]]
    assert [[axis.get_ylabel() for axis in row] for row in axes] == [["b", ""], ["a$_1$", ""]]


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
    before = compare_data(small, "gene").rows[0]
    small.X[small.obs["s2s_held_out"]] = 1e6
    small.layers["s2s"][~small.obs["s2s_measured"]] = -1e6
    assert before.limits == compare_data(small, "gene").rows[0].limits
    assert before.limits["expression"] == pytest.approx((0.04, 3.96))
    assert before.limits["error"] == pytest.approx((-1.96, 1.96))


def test_values_are_those_that_the_run_read(small):
    small.layers["log"] = small.X + 10
    small.uns["s2s"]["s2s"] = {"layer": "log"}
    small.uns["log1p"] = {}
    data = compare_data(small, "gene")
    assert data.rows[0].panels[0].by_site[0] == 10
    assert not data.log1p
    data = compare_data(small, "gene", keys="linear")
    assert data.rows[0].panels[0].by_site[0] == 0
    assert data.log1p
    assert compare_data(small, "gene", keys="linear", layer="log").rows[0].panels[0].by_site[0] == 10


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
        assert (axis.get_xlim(), axis.get_ylim()) == ((95, 125), (215, 195))
        box = axis.get_window_extent()
        assert box.width / box.height == pytest.approx(30 / 20)


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


@pytest.mark.parametrize("kind", ["square", "hex"])
def test_cells_are_drawn_without_gaps(make_lattice, build_section, colour_at, kind):
    lattice = make_lattice(kind, 12, 12 if kind == "square" else 6)
    adata = build_section(lattice, np.ones(len(lattice)), np.ones(len(lattice)), s2s=np.ones(len(lattice)))
    axis = s2s.pl.compare(adata, "gene", show=False)[0, 1]
    middle = lattice.coordinates.mean(axis=0)
    found = colour_at(axis, *(middle + np.random.default_rng(0).uniform(-2, 2, (4000, 2)) * lattice.pitch))
    # Of the white below, less than a twentieth shines through where cells meet.
    np.testing.assert_allclose(found, np.broadcast_to(VIRIDIS(0.0)[:3], found.shape), atol=0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_sites_on_an_image_show_it_as_far_as_they_are_translucent_and_no_seams(small, stained, colour_at, alpha):
    small.uns["spatial"] = stained
    assert not s2s.pl.compare(small, "gene", show=False)[0, 0].images
    small.layers["s2s"][:] = 4
    measured, imputed, *_ = s2s.pl.compare(small, "gene", img="hires", alpha=alpha, show=False)[0]
    points = np.random.default_rng(0).uniform((96, 196), (124, 214), (500, 2))
    expected = alpha * np.array(VIRIDIS(1.0)[:2]) + (1 - alpha) * points / 255
    # An image pixel is two units wide.
    np.testing.assert_allclose(colour_at(imputed, *points)[:, :2], expected, atol=7 / 255)
    unmeasured = np.array([(110, 200), (100, 210), (120, 210), (113, 203)])
    np.testing.assert_allclose(colour_at(measured, *unmeasured)[:, :2] * 255, unmeasured, atol=2)


def test_files_hold_vectors_unless_asked_otherwise(small):
    for plot, genes in ((s2s.pl.compare, ["gene"]), (s2s.pl.grid, [])):
        for rasterized in (False, True):
            file = BytesIO()
            plot(small, *genes, return_fig=True, rasterized=rasterized).savefig(file, format="svg")
            assert (b"<image" in file.getvalue()) == rasterized
