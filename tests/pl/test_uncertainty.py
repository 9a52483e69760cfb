import time
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import s2s_scverse as s2s
from s2s_scverse.pl._draw_maps import NOTHING
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


def test_values_and_their_uncertainty(small):
    data = uncertainty_data(small, "gene", percentiles=(0, 100))
    imputed, std = data.rows[0].panels
    assert imputed.by_site.tolist() == [0, 1.5, 2, 2.5, 4, 3]
    np.testing.assert_equal(std.by_site, np.array([NAN, 0.5, NAN, 1, NAN, 2], np.float32))
    assert data.rows[0].limits == {"expression": (0, 4), "SD": (0, 2)}
    assert imputed.note == "reliability 0.62"
    # The median at unmeasured sites is 1, the standard deviation of 0, 2 and 4 is sqrt(8 / 3).
    assert std.note == "median 0.61 × spots' SD"


def test_denoised_spots_are_uncertain_too_but_do_not_count_as_unmeasured(small):
    small.layers["s2s_std"][0] = 0.1
    std = uncertainty_data(small, "gene").rows[0].panels[1]
    assert std.by_site[0] == np.float32(0.1)
    assert std.note == "median 0.61 × spots' SD"


def test_genes_without_reliability_or_spread_or_unmeasured_sites(small):
    small.var["s2s_reliability"] = NAN
    small.X[:] = 1
    assert [panel.note for panel in uncertainty_data(small, "gene").rows[0].panels] == ["", ""]
    del small.var["s2s_reliability"]
    small.layers["s2s_std"][:] = 0
    (row,) = uncertainty_data(small, "gene").rows
    assert row.limits["SD"] == (0, 1)
    assert s2s.pl.uncertainty(small, "gene", show=False).shape == (1, 2)


def test_a_bad_gene_has_a_proper_minus(small):
    small.var["s2s_reliability"] = -0.1
    assert uncertainty_data(small, "gene").rows[0].panels[0].note == "reliability −0.10"


def test_what_is_drawn_and_where(small, colour_at):
    axes = s2s.pl.uncertainty(small, "gene", percentiles=(0, 100), show=False)
    imputed, std = axes[0]
    assert [axis.get_title() for axis in axes[0]] == ["imputed", "standard deviation"]
    assert [text.get_text() for text in imputed.texts] == ["reliability 0.62", "gene"]
    centres = [(100, 200), (110, 200), (120, 200), (100, 210), (110, 210), (120, 210)]
    viridis, magma, grey = mpl.colormaps["viridis"], mpl.colormaps["magma"], to_rgb(NOTHING)
    values = np.array([0, 1.5, 2, 2.5, 4, 3])
    np.testing.assert_allclose(colour_at(imputed, *centres), viridis(values / 4)[:, :3], atol=0.01)
    expected = [grey, magma(0.25)[:3], grey, magma(0.5)[:3], grey, magma(1.0)[:3]]
    np.testing.assert_allclose(colour_at(std, *centres), expected, atol=0.01)
    labels = [axis.get_ylabel() for axis in axes[0, 0].figure.axes if axis not in set(axes.ravel())]
    assert labels == ["expression", "SD"]


def test_colours_of_expression_are_those_of_compare(small):
    mine = s2s.pl.uncertainty(small, "gene", show=False)[0, 0].collections[0]
    theirs = s2s.pl.compare(small, "gene", show=False)[0, 1].collections[0]
    assert mine.get_clim() == theirs.get_clim()
    np.testing.assert_array_equal(mine.get_array(), theirs.get_array())


def test_a_trained_run(imputed):
    axes = s2s.pl.uncertainty(imputed, list(imputed.var_names[:3]), show=False)
    assert axes.shape == (3, 2)
    reliability = imputed.var["s2s_reliability"].iloc[0]
    assert axes[0, 0].texts[0].get_text() == f"reliability {reliability:.2f}".replace("-", "−")
    hidden = ~imputed.obs["s2s_measured"].to_numpy()
    drawn = axes[0, 1].collections[0].get_array()
    assert (~np.ma.getmaskarray(drawn)).sum() == hidden.sum()
    np.testing.assert_allclose(np.sort(drawn.compressed()), np.sort(imputed.layers["s2s_std"][hidden, 0]))


def test_several_sections(make_lattice, build_section):
    import anndata as ad

    made = {}
    for name in ("a", "b"):
        values = np.arange(6) + (name == "b")
        made[name] = build_section(make_lattice(), values, np.arange(6) % 2, s2s=values, s2s_std=values % 2)
    both = ad.concat(made, label="sample", index_unique="-")
    grids = {name: adata.uns["s2s"]["grid"] for name, adata in made.items()}
    both.uns["s2s"] = {"grid": {"library_key": "sample", "sections": grids}}
    data = uncertainty_data(both, "gene", library="b")
    assert data.section.name == "b"
    assert data.rows[0].panels[0].by_site.tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match="pass library="):
        s2s.pl.uncertainty(both, "gene")


def test_return_types(small, monkeypatch):
    assert s2s.pl.uncertainty(small, ["gene"], show=False).shape == (1, 2)
    plt.close("all")
    assert isinstance(s2s.pl.uncertainty(small, "gene", return_fig=True), Figure)
    assert plt.get_fignums() == []
    monkeypatch.setattr(plt, "show", lambda: None)
    assert s2s.pl.uncertainty(small, "gene", show=True) is None


def test_bad_input(small):
    with pytest.raises(KeyError, match="genes not found"):
        s2s.pl.uncertainty(small, "nope")
    with pytest.raises(ValueError, match="percentiles must be"):
        s2s.pl.uncertainty(small, "gene", percentiles=(9, 1))
    with pytest.raises(KeyError, match="layers not found: linear"):
        s2s.pl.uncertainty(small, "gene", key="linear")
    small.layers["linear"] = small.layers["s2s"]
    with pytest.raises(KeyError, match=r"run 'linear' has no standard deviations.*uncertainty=True.*s2s\.pl\.compare"):
        s2s.pl.uncertainty(small, "gene", key="linear")
    small.layers["s2s"][:] = NAN
    with pytest.raises(ValueError, match="holds no values of gene"):
        s2s.pl.uncertainty(small, "gene")
    assert plt.get_fignums() == []


def test_twenty_thousand_sites_are_quick(make_lattice, build_section):
    values = np.random.default_rng(0).random(20_000)
    measured = np.arange(20_000) % 4 == 0
    adata = build_section(make_lattice("hex", 100, 200), values, measured, s2s=values, s2s_std=values * ~measured)
    start = time.process_time()
    s2s.pl.uncertainty(adata, "gene", return_fig=True).savefig(BytesIO(), dpi=150)
    assert time.process_time() - start < 2
