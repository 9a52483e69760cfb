import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import s2s_scverse as s2s
from s2s_scverse.pl._compare import map_rows
from s2s_scverse.pl._maps import NOTHING

NAN = np.nan


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
    assert panels(adata).limits["SD"] == pytest.approx(expected)


@pytest.fixture
def small(make_lattice, build_section):
    """Two rows of three sites, three measured, imputed with uncertainty."""
    adata = build_section(
        make_lattice("square", 2, 3),
        [0, 0, 2, 0, 4, 0],
        [1, 0, 1, 0, 1, 0],
        s2s=[0, 1.5, 2, 2.5, 4, 3],
        s2s_std=[0, 0.5, 0, 1, 0, 2],
    )
    adata.var["s2s_reliability"] = 0.625
    return adata


def notes(adata):
    return [panel.note for panel in panels(adata).panels]


def panels(adata, **limits):
    (row,) = map_rows(adata, "gene", columns=("imputed", "std"), **limits)
    return row


def test_values_and_their_uncertainty(small):
    row = panels(small, vmin="p0", vmax="p100")
    imputed, std = row.panels
    assert imputed.by_site.tolist() == [0, 1.5, 2, 2.5, 4, 3]
    np.testing.assert_equal(std.by_site, np.array([NAN, 0.5, NAN, 1, NAN, 2], np.float32))
    assert row.limits == {"expression": (0, 4), "SD": pytest.approx((0.51, 1.98))}
    # The median at unmeasured sites is 1, the standard deviation of 0, 2 and 4 is sqrt(8 / 3).
    assert notes(small) == ["reliability 0.62", "0.61 × SD of spots"]
    small.layers["s2s_std"][0] = 0.1  # denoised spots are uncertain too, but do not count as unmeasured
    assert panels(small).panels[1].by_site[0] == np.float32(0.1)
    assert notes(small)[1] == "0.61 × SD of spots"


def test_genes_without_reliability_or_spread_or_unmeasured_sites(small):
    small.var["s2s_reliability"] = -0.1
    assert notes(small)[0] == "reliability −0.10"
    small.var["s2s_reliability"] = NAN
    small.X[:] = 1
    assert notes(small) == ["", ""]
    del small.var["s2s_reliability"]
    small.layers["s2s_std"][:] = 0
    assert panels(small).limits["SD"] == (0, 1)
    assert s2s.pl.uncertainty(small, "gene", show=False).shape == (1, 2)


def test_what_is_drawn_and_where(small, colour_at):
    axes = s2s.pl.uncertainty(small, "gene", vmin=0, vmax=4, show=False)
    imputed, std = axes[0]
    assert [axis.get_title() for axis in axes[0]] == ["imputed", "standard deviation"]
    assert [axis.get_xlabel() for axis in axes[0]] == notes(small)
    centres = [(100, 200), (110, 200), (120, 200), (100, 210), (110, 210), (120, 210)]
    viridis, magma, grey = mpl.colormaps["viridis"], mpl.colormaps["magma"], to_rgb(NOTHING)
    values = np.array([0, 1.5, 2, 2.5, 4, 3])
    np.testing.assert_allclose(colour_at(imputed, *centres), viridis(values / 4)[:, :3], atol=0.01)
    expected = [grey, magma(0.0)[:3], grey, magma(0.49 / 1.47)[:3], grey, magma(1.0)[:3]]
    np.testing.assert_allclose(colour_at(std, *centres), expected, atol=0.02)
    labels = [bar.get_ylabel() for axis in axes.flat for bar in axis.child_axes]
    assert labels == ["expression", "SD"]
    theirs = s2s.pl.compare(small, "gene", vmin=0, vmax=4, show=False)[0, 1].collections[-1]
    assert imputed.collections[-1].get_clim() == theirs.get_clim()
