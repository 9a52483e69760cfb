import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import s2s_scverse as s2s
from s2s_scverse.pl._maps import NOTHING
from s2s_scverse.pl._uncertainty import uncertainty_data

NAN = np.nan


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
    return [panel.note for panel in uncertainty_data(adata, "gene").rows[0].panels]


def test_values_and_their_uncertainty(small):
    (row,) = uncertainty_data(small, "gene", vmin="p0", vmax="p100").rows
    imputed, std = row.panels
    assert imputed.by_site.tolist() == [0, 1.5, 2, 2.5, 4, 3]
    np.testing.assert_equal(std.by_site, np.array([NAN, 0.5, NAN, 1, NAN, 2], np.float32))
    assert row.limits == {"expression": (0, 4), "SD": (0, pytest.approx(1.98))}
    # The median at unmeasured sites is 1, the standard deviation of 0, 2 and 4 is sqrt(8 / 3).
    assert notes(small) == ["reliability 0.62", "median 0.61 × spots' SD"]
    small.layers["s2s_std"][0] = 0.1  # denoised spots are uncertain too, but do not count as unmeasured
    assert uncertainty_data(small, "gene").rows[0].panels[1].by_site[0] == np.float32(0.1)
    assert notes(small)[1] == "median 0.61 × spots' SD"


def test_genes_without_reliability_or_spread_or_unmeasured_sites(small):
    small.var["s2s_reliability"] = -0.1
    assert notes(small)[0] == "reliability −0.10"
    small.var["s2s_reliability"] = NAN
    small.X[:] = 1
    assert notes(small) == ["", ""]
    del small.var["s2s_reliability"]
    small.layers["s2s_std"][:] = 0
    assert uncertainty_data(small, "gene").rows[0].limits["SD"] == (0, 1)
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
    expected = [grey, magma(0.5 / 1.98)[:3], grey, magma(1 / 1.98)[:3], grey, magma(1.0)[:3]]
    np.testing.assert_allclose(colour_at(std, *centres), expected, atol=0.02)
    labels = [bar.get_ylabel() for axis in axes.flat for bar in axis.child_axes]
    assert labels == ["expression", "SD"]
    theirs = s2s.pl.compare(small, "gene", vmin=0, vmax=4, show=False)[0, 1].collections[0]
    assert imputed.collections[0].get_clim() == theirs.get_clim()
