import time
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import s2s_scverse as s2s
from s2s_scverse._lattice import Lattice
from s2s_scverse.pl._compare_data import compare_data
from s2s_scverse.pl._draw_maps import NOTHING
from s2s_scverse.pl._maps_data import colour_limits

NAN = np.nan


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


def drawn(axes):
    """Colour of each site, by the centre of its cell."""
    (cells,) = axes.collections
    axes.figure.draw_without_rendering()
    centres = [tuple(path.vertices[:-1].mean(axis=0).round(3).tolist()) for path in cells.get_paths()]
    return dict(zip(centres, map(tuple, cells.get_facecolor().tolist()), strict=True))


def bars(figure, axes):
    return [axis for axis in figure.axes if axis not in set(axes.ravel())]


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
    assert [panel.note for panel in row.panels] == ["", "", "", "", "PCC 1.00", "PCC 0.00"]


def test_without_held_out_spots_there_is_no_truth(small):
    del small.obs["s2s_held_out"]
    (row,) = compare_data(small, "gene").rows
    assert [panel.title for panel in row.panels] == ["measured", "imputed"]


def test_genes_come_in_the_order_asked_for(make_lattice, build_section):
    values = np.arange(12).reshape(6, 2)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a", "b"), s2s=values)
    rows = compare_data(adata, ["b", "a"]).rows
    assert [row.gene for row in rows] == ["b", "a"]
    assert rows[0].panels[0].by_site.tolist() == values[:, 1].tolist()


def test_colour_limits_are_percentiles_of_measured_values():
    values = np.arange(101, dtype=np.float32)
    assert colour_limits(values, (1, 99)) == (1, 99)
    assert colour_limits(values, (0, 100)) == (0, 100)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0] * 999 + [5], (0, 5), id="a gene of one spot"),
        pytest.param([3] * 10, (3, 4), id="constant"),
        pytest.param([7], (7, 8), id="one spot"),
    ],
)
def test_colour_limits_of_nearly_constant_genes(values, expected):
    assert colour_limits(np.array(values, np.float32), (1, 99)) == expected


def test_limits_do_not_depend_on_held_out_or_imputed_values(small):
    before = compare_data(small, "gene").rows[0]
    small.X[small.obs["s2s_held_out"]] = 1e6
    small.layers["s2s"][~small.obs["s2s_measured"]] = -1e6
    after = compare_data(small, "gene").rows[0]
    assert before.limits == after.limits
    assert before.limits["expression"] == pytest.approx((0.04, 3.96))
    assert before.limits["error"] == pytest.approx((-1.96, 1.96))


def test_values_are_those_that_the_run_read(small):
    small.layers["log"] = small.X + 10
    small.uns["s2s"]["s2s"] = {"layer": "log"}
    small.uns["s2s"]["linear"] = {"layer": "X"}
    small.uns["log1p"] = {}
    data = compare_data(small, "gene")
    assert data.rows[0].panels[0].by_site[0] == 10
    assert not data.log1p
    assert compare_data(small, "gene", layer="X").rows[0].panels[0].by_site[0] == 0
    assert compare_data(small, "gene", keys="linear").log1p
    with pytest.raises(ValueError, match=r"made from different values \(X, log\); pass layer='X'"):
        compare_data(small, "gene", keys=["s2s", "linear"])


def test_a_run_that_saw_held_out_spots_gets_no_score(small):
    small.obs["s2s_visible"] = True
    (row,) = compare_data(small, "gene", keys=["s2s", "linear"]).rows
    assert [panel.note for panel in row.panels[-2:]] == ["saw the truth", "PCC 0.00"]


def test_correlation_of_constants(small):
    small.layers["s2s"][:] = 1
    assert compare_data(small, "gene").rows[0].panels[-1].note == "PCC 0.00"
    small.X[:] = 1
    assert compare_data(small, "gene").rows[0].panels[-1].note == "PCC undefined"


def test_correlation_has_a_proper_minus_and_no_negative_zero(small):
    small.layers["s2s"] = -small.X
    assert compare_data(small, "gene").rows[0].panels[-1].note == "PCC −1.00"


# How it is drawn


def test_sites_lie_and_are_coloured_where_they_belong(small):
    axes = s2s.pl.compare(small, "gene", show=False)
    assert [axis.get_title() for axis in axes[0]] == ["measured", "imputed", "truth", "imputed − truth"]
    measured, imputed, truth, error = axes[0]
    low, high = 0.04, 3.96
    viridis = mpl.colormaps["viridis"]
    grey = to_rgba(NOTHING)
    assert drawn(measured) == {
        (100, 200): viridis(0.0),
        (110, 200): grey,
        (120, 200): viridis((2 - low) / (high - low)),
        (100, 210): grey,
        (110, 210): viridis(1.0),
        (120, 210): grey,
    }
    assert drawn(imputed)[(120, 210)] == viridis((3 - low) / (high - low))
    assert drawn(truth)[(120, 210)] == grey
    assert drawn(truth)[(100, 210)] == viridis((3 - low) / (high - low))
    reds = mpl.colormaps["RdBu_r"]
    errors = drawn(error)
    assert errors[(110, 200)] == reds(0.5 + 0.5 / (high - low))
    assert errors[(100, 210)] == reds(0.5 - 0.5 / (high - low))
    assert [errors[at] for at in ((100, 200), (120, 200), (110, 210), (120, 210))] == [grey] * 4


def test_y_points_down_and_both_axes_have_one_scale(small):
    axes = s2s.pl.compare(small, "gene", show=False)
    for axis in axes.ravel():
        assert axis.get_xlim() == (95, 125)
        assert axis.get_ylim() == (215, 195)
        axis.figure.draw_without_rendering()
        box = axis.get_window_extent()
        assert box.width / box.height == pytest.approx(30 / 20)


@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_flipping_the_slide_flips_the_picture(make_lattice, build_section, kind):
    lattice = make_lattice(kind, 4, 3)
    values = np.arange(len(lattice))
    flip = np.diag([-1.0, 1.0])
    flipped = Lattice(lattice.kind, lattice.index, lattice.basis @ flip, lattice.origin @ flip)
    pictures = []
    for at in (lattice, flipped):
        adata = build_section(at, values, values % 2, s2s=values)
        pictures.append([drawn(axis) for axis in s2s.pl.compare(adata, "gene", show=False)[0]])
    for before, after in zip(*pictures, strict=True):
        assert {(-x, y): colour for (x, y), colour in before.items()} == after


def test_values_of_a_gene_share_one_scale_and_errors_another(small):
    axes = s2s.pl.compare(small, "gene", keys=["s2s", "linear"], show=False)
    scales = [axis.collections[0].get_clim() for axis in axes[0]]
    assert scales[:4] == [pytest.approx((0.04, 3.96))] * 4
    assert scales[4:] == [pytest.approx((-1.96, 1.96))] * 2


def test_colour_bars_name_the_unit_and_point_to_clipped_values(small):
    small.uns["log1p"] = {}
    axes = s2s.pl.compare(small, "gene", show=False)
    values, errors = bars(axes[0, 0].figure, axes)
    assert values.get_ylabel() == "expression (log1p)"
    assert errors.get_ylabel() == "error (log1p)"
    assert values._colorbar.extend == "both"
    assert errors._colorbar.extend == "neither"
    assert values._colorbar.vmin == pytest.approx(0.04)
    axes = s2s.pl.compare(small, "gene", unit="counts", percentiles=(0, 100), show=False)
    values, errors = bars(axes[0, 0].figure, axes)
    assert values.get_ylabel() == "expression (counts)"
    assert values._colorbar.extend == "neither"


def test_titles_stand_on_the_first_row_and_genes_on_the_left(make_lattice, build_section):
    values = np.arange(12).reshape(6, 2)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a$_1$", "b"), s2s=values)
    axes = s2s.pl.compare(adata, ["a$_1$", "b"], show=False)
    assert [[axis.get_title() for axis in row] for row in axes] == [["measured", "imputed"], ["", ""]]
    assert [[text.get_text() for text in axis.texts] for axis in axes.ravel()] == [["a$_1$"], [], ["b"], []]


@pytest.mark.parametrize(
    ("rows", "cols"), [pytest.param(5, 5, id="small"), pytest.param(60, 4, id="tall"), pytest.param(3, 60, id="flat")]
)
@pytest.mark.parametrize("n_genes", [1, 4])
def test_nothing_overlaps_at_any_shape(make_lattice, build_section, rows, cols, n_genes):
    n = rows * cols
    genes = [f"ENSMUSG0000000{i}" for i in range(n_genes)]
    values = np.random.default_rng(0).random((n, n_genes))
    measured = np.arange(n) % 2 == 0
    adata = build_section(
        make_lattice("square", rows, cols), values, measured, ~measured, genes=genes, s2s=values, a_long_name=values / 2
    )
    figure = s2s.pl.compare(adata, genes, keys=["s2s", "a_long_name"], return_fig=True)
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = []
    for axis in figure.axes:
        box = axis.get_tightbbox()
        assert box.x0 >= page.x0 - 1
        assert box.y0 >= page.y0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y1 <= page.y1 + 1
        boxes.append(box)
    for i, first in enumerate(boxes):
        for second in boxes[i + 1 :]:
            wide = min(first.x1, second.x1) - max(first.x0, second.x0)
            high = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert min(wide, high) < 2


def test_panel_size_is_that_of_a_square_panel(make_lattice, build_section):
    adata = build_section(make_lattice("square", 4, 4), np.arange(16), np.ones(16), s2s=np.arange(16))
    axes = s2s.pl.compare(adata, "gene", panel_size=3, show=False)
    box = axes[0, 0].get_window_extent()
    assert box.width / axes[0, 0].figure.dpi == pytest.approx(3)


@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_cells_are_drawn_without_gaps(make_lattice, build_section, colour_at, kind):
    n = 12 if kind == "square" else 6
    lattice = make_lattice(kind, 12, n)
    adata = build_section(lattice, np.ones(len(lattice)), np.ones(len(lattice)), s2s=np.ones(len(lattice)))
    axis = s2s.pl.compare(adata, "gene", show=False)[0, 1]
    middle = lattice.coordinates.mean(axis=0)
    found = colour_at(axis, *(middle + np.random.default_rng(0).uniform(-2, 2, (4000, 2)) * lattice.pitch))
    # Of the white below, less than a twentieth shines through where cells meet.
    np.testing.assert_allclose(found, np.broadcast_to(mpl.colormaps["viridis"](0.0)[:3], found.shape), atol=0.05)


def test_pixels_of_sites_have_the_colours_of_their_values(small, colour_at):
    measured, imputed, *_ = s2s.pl.compare(small, "gene", percentiles=(0, 100), show=False)[0]
    viridis, grey = mpl.colormaps["viridis"], to_rgba(NOTHING)
    found = colour_at(measured, (100, 200), (110, 200), (120, 200), (110, 210))
    np.testing.assert_allclose(found, np.array([viridis(0.0), grey, viridis(0.5), viridis(1.0)])[:, :3], atol=0.01)
    # Corners of a cell have its colour too, those of another value another.
    found = colour_at(imputed, (106, 196), (114, 204), (106, 206), (114, 214))
    np.testing.assert_allclose(found, np.array([viridis(1.5 / 4)] * 2 + [viridis(1.0)] * 2)[:, :3], atol=0.01)


def test_the_image_shows_where_there_is_no_value(small, stained, colour_at):
    small.uns["spatial"] = stained
    assert not s2s.pl.compare(small, "gene", show=False)[0, 0].images
    measured, imputed, *_ = s2s.pl.compare(small, "gene", img=True, show=False)[0]
    unmeasured = np.array([(110, 200), (100, 210), (120, 210), (113, 203)])
    np.testing.assert_allclose(colour_at(measured, *unmeasured)[:, :2] * 255, unmeasured, atol=2)
    np.testing.assert_allclose(colour_at(measured, (110, 210))[0], mpl.colormaps["viridis"](1.0)[:3], atol=0.01)
    assert (imputed.get_xlim(), imputed.get_ylim()) == ((95, 125), (215, 195))


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_translucent_sites_show_the_image_below_and_no_seams(small, stained, colour_at, alpha):
    small.uns["spatial"] = stained
    small.layers["s2s"][:] = 4
    imputed = s2s.pl.compare(small, "gene", img="hires", alpha=alpha, show=False)[0, 1]
    points = np.random.default_rng(0).uniform((96, 196), (124, 214), (500, 2))
    expected = alpha * np.array(mpl.colormaps["viridis"](1.0)[:2]) + (1 - alpha) * points / 255
    # An image pixel is two units wide.
    np.testing.assert_allclose(colour_at(imputed, *points)[:, :2], expected, atol=7 / 255)


def test_files_hold_vectors_unless_asked_otherwise(small):
    def saved(kind, **options):
        file = BytesIO()
        with mpl.rc_context({"svg.fonttype": "none"}):
            s2s.pl.compare(small, "gene", return_fig=True, **options).savefig(file, format=kind)
        return file.getvalue()

    assert b"<image" not in saved("svg")
    assert b">imputed</text>" in saved("svg")
    assert b"/Subtype /Image" not in saved("pdf")
    assert b"<image" in saved("svg", rasterized=True)


def test_rasterized_sites(small):
    for rasterized in (False, True):
        axes = s2s.pl.compare(small, "gene", rasterized=rasterized, show=False)
        assert {bool(axis.collections[0].get_rasterized()) for axis in axes.ravel()} == {rasterized}


# What comes back, and what stays as it was


def test_return_types(small, monkeypatch):
    axes = s2s.pl.compare(small, ["gene"], show=False)
    assert axes.shape == (1, 4)
    assert all(isinstance(axis, Axes) for axis in axes.ravel())
    plt.close("all")
    assert isinstance(s2s.pl.compare(small, "gene", return_fig=True), Figure)
    assert plt.get_fignums() == []
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert s2s.pl.compare(small, "gene", show=True) is None
    assert shown == [1]


@pytest.mark.parametrize("autoshow", [False, True])
def test_show_follows_scanpy(small, monkeypatch, autoshow):
    import scanpy as sc

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    before = sc.settings.autoshow
    try:
        sc.settings.autoshow = autoshow
        assert (s2s.pl.compare(small, "gene") is None) == autoshow
    finally:
        sc.settings.autoshow = before
    assert len(shown) == autoshow


def test_nothing_of_the_user_changes(small):
    before = small.copy()
    s2s.pl.compare(small, "gene", keys=["s2s", "linear"], return_fig=True)
    np.testing.assert_array_equal(small.X, before.X)
    assert small.obs.equals(before.obs)
    assert list(small.layers) == list(before.layers)
    assert list(small.uns) == list(before.uns)
    assert list(mpl.colormaps["viridis"].get_bad()) == [0, 0, 0, 0]


def test_a_failure_leaves_no_figure_open(small, monkeypatch):
    monkeypatch.setattr("s2s_scverse.pl._draw_maps._draw_bar", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        s2s.pl.compare(small, "gene", show=False)
    assert plt.get_fignums() == []


def test_layout_settings_of_the_user_do_not_move_panels(small):
    expected = s2s.pl.compare(small, "gene", show=False)[0, 0].get_position().bounds
    with mpl.rc_context({"figure.constrained_layout.use": True}):
        assert s2s.pl.compare(small, "gene", show=False)[0, 0].get_position().bounds == expected


@pytest.mark.parametrize("kind", ["csr", "csc", "int", "float64", "view"])
def test_any_kind_of_matrix_gives_the_same_picture(small, kind):
    from scipy import sparse

    expected = by_name(compare_data(small, "gene").rows[0])
    if kind == "view":
        other = small[:, ["gene"]]
    else:
        other = small.copy()
        convert = {
            "csr": sparse.csr_matrix,
            "csc": sparse.csc_matrix,
            "int": lambda x: x.astype(int),
            "float64": lambda x: x.astype(float),
        }
        other.X = convert[kind](small.X)
    np.testing.assert_equal(by_name(compare_data(other, "gene").rows[0]), expected)


def test_twenty_thousand_sites_are_quick(make_lattice, build_section):
    values = np.random.default_rng(0).random(20_000)
    measured = np.arange(20_000) % 4 == 0
    adata = build_section(make_lattice("square", 100, 200), values, measured, ~measured, s2s=values)
    start = time.process_time()
    s2s.pl.compare(adata, "gene", return_fig=True).savefig(BytesIO(), dpi=150)
    assert time.process_time() - start < 2


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"genes": "nope"}, KeyError, r"genes not found in adata\.var_names: nope"),
        ({"genes": []}, ValueError, "expected at least one gene"),
        (
            {"keys": "magic"},
            KeyError,
            r"layers not found: magic; adata\.layers has: s2s, linear; call s2s\.tl\.impute",
        ),
        ({"keys": ()}, ValueError, r"keys must name at least one layer, and each once, found \[\]"),
        ({"keys": ("s2s", "s2s")}, ValueError, "keys must name at least one layer, and each once"),
        ({"layer": "nope"}, KeyError, "layer 'nope' not found"),
        (
            {"percentiles": (99, 1)},
            ValueError,
            r"percentiles must be two growing numbers from 0 to 100, found \(99, 1\)",
        ),
        ({"panel_size": 0}, ValueError, "panel_size must be positive and finite, found 0"),
        ({"alpha": 1.5}, ValueError, r"alpha must be a number from 0 \(invisible\) to 1 \(opaque\), found 1.5"),
        ({"img_alpha": -1}, ValueError, "img_alpha must be a number"),
        ({"img": True}, KeyError, "no image found: adata.uns\\['spatial'\\] has no entry that holds"),
        ({"cmap": "nope"}, KeyError, "nope"),
    ],
)
def test_bad_arguments(small, options, error, match):
    with pytest.raises(error, match=match):
        s2s.pl.compare(small, **{"genes": "gene", "show": False} | options)
    assert plt.get_fignums() == []


def test_bad_sections(small):
    with pytest.raises(TypeError, match="expected an AnnData, found str"):
        s2s.pl.compare("adata", "gene")
    empty = small.copy()
    empty.layers["s2s"][:] = NAN
    with pytest.raises(ValueError, match=r"adata\.layers\['s2s'\] holds no values of gene: they were not asked for"):
        s2s.pl.compare(empty, "gene")
    unseen = small.copy()
    unseen.obs["s2s_measured"] = False
    with pytest.raises(ValueError, match="no site is measured"):
        s2s.pl.compare(unseen, "gene")
    del small.uns["s2s"]
    with pytest.raises(KeyError, match=r"call s2s\.pp\.grid again on the spots"):
        s2s.pl.compare(small, "gene")


def test_one_site_and_one_row(make_lattice, build_section):
    for rows, cols in ((1, 1), (1, 9)):
        n = rows * cols
        adata = build_section(make_lattice("square", rows, cols), np.arange(n), np.ones(n), s2s=np.arange(n))
        figure = s2s.pl.compare(adata, "gene", return_fig=True)
        figure.draw_without_rendering()
        assert len(drawn(figure.axes[0])) == n
