import random
import re
import signal

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse._adata import read_molecules
from s2s_scverse._checks import named_layers

QUICK = {"preset": "quick", "progress": False}


def test_measured_spots_keep_their_values_bit_for_bit_and_others_are_predicted(imputed):
    measured = imputed.obs["s2s_measured"].to_numpy()
    layer = imputed.layers["s2s"]
    assert layer.dtype == np.float32
    assert layer.shape == imputed.shape
    assert np.array_equal(layer[measured], imputed.X[measured].toarray().astype(np.float32))
    assert np.isfinite(layer).all()
    assert (layer >= 0).all()
    held_out = imputed.obs["s2s_held_out"].to_numpy()
    truth = imputed.layers["truth"][held_out]
    found = layer[held_out]
    pcc = [np.corrcoef(found[:, g], truth[:, g])[0, 1] for g in range(imputed.n_vars) if truth[:, g].std() > 0.05]
    assert np.mean(pcc) > 0.5


def test_everything_else_stays_as_it_was_and_nothing_is_printed(section, quick, capfd, recwarn):
    before = section.copy()
    section.layers["other"] = section.X.copy()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()  # noqa: NPY002
    settings = dict(mpl.rcParams), torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    s2s.tl.impute(section, **quick)
    assert states[0] == random.getstate()
    assert states[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(states[2], torch.random.get_rng_state())
    assert settings == (dict(mpl.rcParams), torch.get_num_threads(), signal.getsignal(signal.SIGINT))
    assert (section.X != before.X).nnz == 0
    assert (section.layers["other"] != before.X).nnz == 0
    pd.testing.assert_frame_equal(section.obs[before.obs.columns], before.obs)
    assert section.obs_names.equals(before.obs_names)
    pd.testing.assert_frame_equal(section.var[before.var.columns], before.var)
    assert set(named_layers(section)) == {"other", "truth", "s2s", "s2s_std"}
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert not recwarn.list


def test_one_progress_bar(section, quick, capfd):
    s2s.tl.impute(section, **(quick | {"progress": True}))
    captured = capfd.readouterr()
    assert captured.out == ""
    phases = re.findall(r"s2s, ([a-z ]+): +\d+%", captured.err)
    expected = ["initial estimates", "validation", "training data", "training", "errors", "imputing"]
    assert list(dict.fromkeys(phases)) == expected
    assert captured.err.count("\n") == 1
    assert "relative error " in captured.err
    assert captured.err.rsplit("\r", 1)[1].startswith("s2s: 100%")


def test_parts_explain_more_and_more_and_history_and_parameters_survive_h5ad(imputed, tmp_path):
    kriging, pca_kriging, stack = imputed.uns["s2s"]["s2s"]["explained"].values()
    assert 0 < kriging < stack < 1
    assert pca_kriging <= stack
    imputed.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    history = s2s.get.history_df(back)
    pd.testing.assert_frame_equal(history, s2s.get.history_df(imputed), check_index_type=False)
    assert len(history) == 2
    assert (history[["validation", "validation_start"]] > 0).all(axis=None)
    run = back.uns["s2s"]["s2s"]
    assert run["params"]["training"]["initial"] == "stack"
    assert set(run["versions"]) >= {"s2s-scverse", "torch"}
    assert np.array_equal(back.layers["s2s"], imputed.layers["s2s"])


def test_layer_and_key_and_genes(section, quick):
    section.layers["log"] = section.X.toarray()
    section.layers["log"][:, 3] = np.nan  # a gene that is not asked for
    section.X = sparse.csr_matrix(section.shape, dtype=np.float32)
    genes = section.var_names[[5, 2, 7]].tolist()
    s2s.tl.impute(section, genes, layer="log", key_added="panel", **quick)
    found = pd.DataFrame(section.layers["panel"], columns=section.var_names)
    assert found[genes].notna().all(axis=None)
    assert found.drop(columns=genes).isna().all(axis=None)
    measured = section.obs["s2s_measured"].to_numpy()
    assert np.array_equal(found.loc[measured, genes], section[measured, genes].layers["log"])
    assert section.uns["s2s"]["panel"]["layer"] == "log"


def test_a_gene_gets_the_same_values_whichever_others_are_asked_for(section, imputed, quick):
    genes = section.var_names[::5]
    s2s.tl.impute(section, list(genes[::-1]), **quick)
    for name in ("s2s", "s2s_std"):
        found, others = section[:, genes].layers[name], section[:, ~section.var_names.isin(genes)].layers[name]
        np.testing.assert_allclose(found, imputed[:, genes].layers[name], atol=2e-5)
        assert np.isnan(others).all()
    reliability = imputed.var["s2s_reliability"].where(imputed.var_names.isin(genes))
    pd.testing.assert_series_equal(section.var["s2s_reliability"], reliability, atol=1e-5)


def fail(*_args, **_kwargs):
    raise RuntimeError("boom")


def interrupt(*_args, **_kwargs):
    raise KeyboardInterrupt


TRAINING, PREDICTION = "_train._lightning.TrainingPlan.training_step", "_train._model.SectionModel.predict_into"


@pytest.mark.parametrize(
    ("where", "what", "error"),
    [
        (TRAINING, fail, RuntimeError),
        (TRAINING, interrupt, KeyboardInterrupt),
        (PREDICTION, interrupt, KeyboardInterrupt),
        (None, interrupt, KeyboardInterrupt),  # while layers are written
    ],
)
def test_failure_and_interruption_leave_everything_as_it_was(section, quick, monkeypatch, where, what, error):
    before = section.copy()
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(*((type(section.layers), "__setitem__") if where is None else (f"s2s_scverse.{where}",)), what)
        with pytest.raises(error):
            s2s.tl.impute(section, **quick)
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(section.layers) == list(before.layers)
    pd.testing.assert_frame_equal(section.obs, before.obs)
    assert list(section.uns["s2s"]) == ["grid"]


def test_backed_sections_are_not_copied(section, quick, tmp_path):
    section.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"copy=True needs a section in memory.*adata.to_memory\(\)"):
        s2s.tl.impute(backed, copy=True, **quick)
    backed.file.close()


def test_negative_values_stay_negative(section):
    section.X = section.X.toarray() - 3
    s2s.tl.impute(section, **QUICK)
    assert section.layers["s2s"][~section.obs["s2s_measured"].to_numpy()].min() < -1


def test_values_that_were_logged_twice_are_told():
    adata = s2s.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=40)
    dense = s2s.pp.grid(adata)
    s2s.pp.normalize(dense)
    dense.X = dense.X.log1p()
    with pytest.warns(UserWarning, match="log1p seems to have been applied twice"):
        s2s.tl.impute(dense, preset="quick", progress=False)


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
    s2s.tl.impute(section, denoise=True, uncertainty=False, key_added="alone", **quick)
    assert np.array_equal(section.layers["alone"], section.layers["s2s"])
    section.obs["s2s_measured"] = True
    del section.obs["s2s_held_out"]
    with pytest.warns(UserWarning, match="every site is measured"):
        s2s.tl.impute(section, denoise=True, **QUICK)
    assert 0.8 < np.corrcoef(section.layers["s2s"].ravel(), section.X.toarray().ravel())[0, 1] < 0.9999


def test_depth_is_used_and_can_be_given(section):
    s2s.tl.impute(section, key_added="auto", **QUICK)
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
    spots = section[section.obs["s2s_measured"] | section.obs["s2s_held_out"]].copy()
    spots.obs = spots.obs[["array_row", "array_col"]]
    silent = spots.copy()
    silent.X = silent.X.multiply(np.arange(silent.n_vars) != 2).tocsr()
    both = ad.concat({"a": spots, "b": silent}, label="slide", index_unique="-")
    dense = s2s.pp.grid(both, upsample=1, library_key="slide")
    s2s.pp.sparsify(dense)
    s2s.tl.impute(dense, **QUICK)
    assert dense.var["s2s_reliability"].between(0, 1).all()
    lower, upper = s2s.get.interval(dense, 0.9)
    hidden = dense.obs["s2s_held_out"].to_numpy()
    truth = dense.X[hidden].toarray()
    assert ((truth >= lower[hidden]) & (truth <= upper[hidden])).mean() == pytest.approx(0.9, abs=0.05)


def test_gain_is_largest_for_the_gene_that_depends_on_the_covariate(section):
    pattern = np.random.default_rng(0).standard_normal(section.n_obs)
    section.X, section.obs["pattern"] = section.X.toarray(), pattern
    section.X[:, 0] += (2 + pattern).clip(0)
    guided = s2s.tl.impute(section, covariates="pattern", copy=True, **QUICK)
    gain = guided.var["s2s_covariate_gain"]
    assert gain.idxmax() == guided.var_names[0]
    assert gain.iloc[0] > 0.2
    assert gain.iloc[1:].abs().max() < 0.1
    explained = guided.uns["s2s"]["s2s"]["explained"]
    assert explained["stack"] > explained["stack_without_covariates"]
    figure = s2s.pl.reliability(guided, return_fig=True)
    assert [axis.get_ylabel() for axis in figure.axes] == ["expected PCC", "variance explained by covariates"]
    assert "s2s_covariate_gain" not in s2s.pp.grid(guided[guided.obs["s2s_measured"]]).var
    s2s.tl.impute(guided, **QUICK)  # the gain of an earlier run goes
    assert "s2s_covariate_gain" not in guided.var
