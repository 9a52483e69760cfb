"""Errors, denoising and depths of tl.impute."""

import anndata as ad
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._adata import read_molecules

QUICK = {"preset": "quick", "progress": False}


def test_denoised_spots(section, imputed, quick):
    s2s.tl.impute(section, denoise=True, **quick)
    measured = section.obs["s2s_measured"].to_numpy()
    assert np.array_equal(section.layers["s2s"][~measured], imputed.layers["s2s"][~measured])
    truth, values = section.layers["truth"][measured], section.X[measured].toarray()
    cleaned = section.layers["s2s"][measured]

    def agreement(found):
        return np.mean([np.corrcoef(found[:, g], truth[:, g])[0, 1] for g in np.flatnonzero(np.ptp(truth, axis=0))])

    assert agreement(cleaned) > agreement(values) + 0.005
    assert (section.layers["s2s_std"][measured] >= 0).all()
    assert section.layers["s2s_std"][measured].max() > 0
    section.obs["s2s_measured"] = True
    del section.obs["s2s_held_out"]
    with pytest.warns(UserWarning, match="every site is measured"):
        s2s.tl.impute(section, denoise=True, **QUICK)
    assert 0.8 < np.corrcoef(section.layers["s2s"].ravel(), section.X.toarray().ravel())[0, 1] < 0.9999


def test_depth_is_used_and_can_be_given(section, caplog):
    with caplog.at_level("INFO"):
        s2s.tl.impute(section, key_added="auto", **QUICK)
    assert any("depth: recovered from values" in message for message in caplog.messages)
    s2s.tl.impute(section, key_added="none", total_counts=None, **QUICK)
    measured = section.obs["s2s_measured"].to_numpy()
    section.obs["depth"] = np.nan
    section.obs.loc[measured, "depth"] = 3 * read_molecules(section, measured, layer=None).depth
    s2s.tl.impute(section, key_added="given", total_counts="depth", **QUICK)
    assert not np.allclose(section.layers["auto"], section.layers["none"], atol=1e-3)
    np.testing.assert_allclose(section.layers["auto"], section.layers["given"], atol=1e-3)
    section.layers["odd"] = np.sqrt(section.X.toarray())
    s2s.tl.impute(section, key_added="odd_values", layer="odd", **QUICK)
    used = {key: section.uns["s2s"][key]["params"]["depth"] for key in ("auto", "none", "given", "odd_values")}
    assert used == {"auto": "values", "none": "none", "given": "obs['depth']", "odd_values": "none"}


@pytest.mark.parametrize("n_spots", [1, 15])
def test_few_spots_have_no_errors(section, quick, n_spots):
    measured = np.flatnonzero(section.obs["s2s_measured"])
    section.obs["s2s_measured"] = np.isin(np.arange(section.n_obs), measured[:n_spots])
    with pytest.warns(UserWarning, match="too few to train on"), pytest.warns(UserWarning, match="no errors are estim"):
        s2s.tl.impute(section, denoise=n_spots == 15, max_distance=None, **quick)
    assert np.isfinite(section.layers["s2s"]).all()
    assert "s2s_std" not in section.layers
    assert "s2s_reliability" not in section.var
    with pytest.raises(KeyError, match="at least 16 measured spots"):
        s2s.get.interval(section)


def test_errors_of_several_sections(section):
    section = section[section.obs["s2s_measured"] | section.obs["s2s_held_out"]].copy()
    second = section.copy()
    second.X = second.X.multiply(np.arange(second.n_vars) != 2).tocsr()
    both = ad.concat({"a": section, "b": second}, label="slide", index_unique="-")
    kept = both.obs_names[~both.obs.pop("s2s_held_out")]
    del both.obs["s2s_measured"]
    dense = s2s.pp.grid(both, upsample=1, library_key="slide")
    s2s.pp.sparsify(dense, keep=dense.obs_names.isin(kept))
    s2s.tl.impute(dense, **QUICK)
    assert dense.var["s2s_reliability"].between(0, 1).all()
    lower, upper = s2s.get.interval(dense, 0.9)
    hidden = dense.obs["s2s_held_out"].to_numpy()
    truth = dense.X[hidden].toarray()
    assert ((truth >= lower[hidden]) & (truth <= upper[hidden])).mean() == pytest.approx(0.9, abs=0.05)
