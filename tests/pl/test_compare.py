import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse.pl._compare import map_rows
from s2s_scverse.pl._drawing import micrometres_per_unit
from s2s_scverse.pl._maps import NOTHING, colour_limits

NAN = np.nan


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
    values = np.arange(18).reshape(6, 3)
    adata = build_section(make_lattice(), values, np.ones(6), genes=("a$_1$", "b", "c"), s2s=values)
    rows = map_rows(adata, ["b", "a$_1$", "c"])
    assert rows[0].panels[0].by_site.tolist() == values[:, 1].tolist()
    axes = s2s.pl.compare(adata, ["b", "a$_1$", "c"], ncols=2, show=False)
    assert len(axes[0, 0].figure.axes) == 6
    assert [[axis.get_title() for axis in row] for row in axes] == [["measured", "imputed"]] * 2 + [["", ""]]
    assert [[axis.get_ylabel() for axis in row] for row in axes] == [["b", ""], ["a$_1$", ""], ["c", ""]]


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
    bars = [s2s.pl.compare(small, "gene", keys=key, show=False)[0, 2].child_axes[0] for key in ("s2s", "linear")]
    assert [bar.get_ylabel() for bar in bars] == ["expression", "expression (log1p)"]


def test_pixels_of_sites_have_the_colours_of_their_values(small, colour_at):
    axes = s2s.pl.compare(small, "gene", vmin=0, vmax=4, show=False)
    assert [axis.get_title() for axis in axes[0]] == ["measured", "imputed", "truth", "imputed − truth"]
    viridis, reds, grey = mpl.colormaps["viridis"], mpl.colormaps["RdBu_r"], to_rgba(NOTHING)
    expected = [
        [viridis(0.0), grey, viridis(0.5), viridis(1.0)],
        [viridis(0.0), viridis(1.5 / 4), viridis(0.5), viridis(1.0)],
        [viridis(0.0), viridis(0.25), viridis(0.5), viridis(1.0)],
        [grey, reds(0.5 + 0.5 / 4), grey, grey],
    ]
    found = [colour_at(axis, (100, 200), (110, 200), (120, 200), (110, 210)) for axis in axes[0]]
    np.testing.assert_allclose(found, np.array(expected)[..., :3], atol=0.01)


def test_columns(small):
    small.layers["s2s_std"] = np.where(small.obs["s2s_measured"], 0, 0.5)[:, None].astype(np.float32)
    small.var["s2s_reliability"] = 0.5
    axes = s2s.pl.compare(small, "gene", columns=["image", "imputed", "std"], show=False)
    assert [axis.get_title() for axis in axes[0]] == ["image", "imputed", "standard deviation"]
    assert [axis.get_xlabel() for axis in axes[0]][:2] == ["", "reliability 0.50"]
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
        pytest.param({"spatial_unit": "pixel"}, {}, None, id="pixels"),
        pytest.param({"spatial_unit": "micron"}, {}, "5 µm", id="micrometres"),
        pytest.param({}, {"scalebar_dx": 100}, "500 µm", id="given"),
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


STD = {"columns": ("imputed", "std")}


@pytest.fixture
def uncertain(make_lattice, build_section):
    """Two rows of three sites, three measured, imputed with uncertainty."""
    values, std = {"s2s": [0, 1.5, 2, 2.5, 4, 3]}, {"s2s_std": [0, 0.5, 0, 1, 0, 2]}
    adata = build_section(make_lattice("square", 2, 3), [0, 0, 2, 0, 4, 0], [1, 0, 1, 0, 1, 0], **values, **std)
    adata.var["s2s_reliability"] = 0.625
    return adata


def test_values_and_their_uncertainty(uncertain):
    axes = s2s.pl.uncertainty(uncertain, "gene", show=False)
    assert [axis.get_title() for axis in axes[0]] == ["imputed", "standard deviation"]
    assert [axis.get_xlabel() for axis in axes[0]] == notes(uncertain, **STD)
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
    # Small differences do not look like structure: colours span a factor of two at least.
    uncertain.layers["s2s_std"][:] = [[1], [0.8], [1], [1.2], [1], [0.8]]
    assert map_rows(uncertain, "gene", **STD)[0].limits["SD"] == pytest.approx((0.48**0.5, 1.92**0.5), rel=0.01)
    uncertain.layers["s2s_std"][:] = 0
    assert map_rows(uncertain, "gene", **STD)[0].limits["SD"] == (0, 1)
