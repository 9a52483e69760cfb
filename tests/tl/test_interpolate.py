import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse._predict import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_measured_spots_fills_the_rest_and_reads_no_hidden_values(section, method):
    before, other = section.copy(), section.copy()
    other.X = other.X.toarray()
    other.X[~other.obs["s2s_measured"].to_numpy()] = np.nan
    assert s2s.tl.interpolate(section, method) is None
    found, measured = section.layers[method], section.obs["s2s_measured"].to_numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[measured], section.X[measured].toarray())
    assert np.isfinite(found).all()
    hidden = section.obs["s2s_held_out"].to_numpy()
    truth = section.X[hidden].toarray()
    assert np.abs(found[hidden] - truth).mean() < np.abs(truth - truth.mean(axis=0)).mean() * 1.2
    assert (section.X != before.X).nnz == 0
    s2s.tl.interpolate(other, method)
    np.testing.assert_array_equal(found, other.layers[method])


def test_pitch_is_that_of_spots_where_there_are_any(hand_drawn):
    rng = np.random.default_rng(0)
    lattice = read_section(s2s.pp.grid(hand_drawn("\n".join(["#" * 40] * 40)), upsample=1))[1].lattice
    lost = np.all(np.abs(np.argwhere(np.ones((40, 40))) - 20) < 13, axis=1)  # two fifths
    for kept, expected in ((~lost, 1), (rng.random(1600) < 0.25, 2), (~lost & (rng.random(1600) < 0.25), 2)):
        assert lattice.spot_pitch(kept) == pytest.approx(expected, rel=0.1)


def test_layer_key_depth_and_run_entry(section):
    section.layers["double"] = section.X * 2
    s2s.tl.interpolate(section, "idw")
    s2s.tl.interpolate(section, "idw", layer="double", key_added="twice")
    np.testing.assert_allclose(section.layers["twice"], 2 * section.layers["idw"], rtol=1e-6)
    run = section.uns["s2s"]["twice"]
    assert run["params"] == {"method": "idw", "depth": "none", "covariates": "none"}
    assert run["layer"] == "double"
    assert section.uns["s2s"]["idw"]["layer"] == "X"
    assert set(run["versions"]) == {"s2s-scverse", "numpy", "scipy"}
    np.testing.assert_array_equal(section.obs["twice_visible"], section.obs["s2s_measured"])
    s2s.tl.interpolate(section, "kriging", key_added="equal", total_counts=None)
    s2s.tl.interpolate(section, "kriging")
    assert section.uns["s2s"]["kriging"]["params"]["depth"] == "values"
    assert section.uns["s2s"]["equal"]["params"]["depth"] == "none"
    assert not np.array_equal(section.layers["kriging"], section.layers["equal"])


def test_the_stack_is_what_imputation_starts_from(section):
    s2s.tl.interpolate(section, "stack", rng=3)
    s2s.tl.impute(section, preset="quick", progress=False)
    found, start = section.layers["stack"], section.layers["s2s"]
    assert np.abs(found - start).mean() < 0.05 * start.std()
