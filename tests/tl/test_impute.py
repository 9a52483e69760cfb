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
from s2s_scverse._checks import named_layers


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
    assert list(dict.fromkeys(phases)) == ["initial estimates", "training data", "training", "errors", "imputing"]
    assert captured.err.count("\n") == 1
    assert "relative error " in captured.err


def test_parts_explain_more_and_more(imputed):
    kriging, pca_kriging, stack = imputed.uns["s2s"]["s2s"]["explained"].values()
    assert 0 < kriging < stack < 1
    assert pca_kriging <= stack


def test_same_seed_same_result(section, imputed, quick):
    found = s2s.tl.impute(section, rng=np.random.default_rng(0), copy=True, **quick)
    assert "s2s" not in section.layers
    assert np.array_equal(found.layers["s2s"], imputed.layers["s2s"])
    s2s.tl.impute(section, **quick, rng=1, key_added="other")
    assert not np.array_equal(section.layers["other"], imputed.layers["s2s"])


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


def test_history_and_parameters_survive_h5ad(imputed, tmp_path):
    imputed.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    history = s2s.get.history_df(back)
    pd.testing.assert_frame_equal(history, s2s.get.history_df(imputed), check_index_type=False)
    assert len(history) == 2
    assert (history[["validation", "validation_start"]] > 0).all(axis=None)
    run = back.uns["s2s"]["s2s"]
    assert run["params"]["training"]["initial"] == "stack"
    assert run["params"]["network"]["stages"] == 1
    assert run["shrinkage"] == 1
    assert set(run["versions"]) >= {"s2s-scverse", "torch"}
    assert np.array_equal(back.layers["s2s"], imputed.layers["s2s"])
    with pytest.raises(KeyError, match=r"no run 'x' found .* has: s2s"):
        s2s.get.history_df(back, "x")


def fail(*_args, **_kwargs):
    raise RuntimeError("boom")


def interrupt(*_args, **_kwargs):
    raise KeyboardInterrupt


TRAINING, PREDICTION = "_train._lightning.TrainingPlan.training_step", "_train._model.SectionModel.predict"


@pytest.mark.parametrize(
    ("where", "what", "error"),
    [
        (TRAINING, fail, RuntimeError),
        (TRAINING, interrupt, KeyboardInterrupt),
        (PREDICTION, interrupt, KeyboardInterrupt),
    ],
)
def test_failure_and_interruption_leave_everything_as_it_was(section, quick, monkeypatch, where, what, error):
    before = section.copy()
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(f"s2s_scverse.{where}", what)
    with pytest.raises(error):
        s2s.tl.impute(section, **quick)
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(section.layers) == list(before.layers)
    pd.testing.assert_frame_equal(section.obs, before.obs)
    assert list(section.uns["s2s"]) == ["grid"]


def test_backed_sections_are_imputed_in_place_and_not_copied(section, imputed, quick, tmp_path):
    section.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"copy=True needs a section in memory.*adata.to_memory\(\)"):
        s2s.tl.impute(backed, copy=True, **quick)
    s2s.tl.impute(backed, **quick)
    assert np.array_equal(backed.layers["s2s"], imputed.layers["s2s"])
    backed.file.close()


def test_checkpoints_are_looked_at_before_any_work(section, quick, tmp_path, monkeypatch):
    monkeypatch.setattr("s2s_scverse._train._fit.cross_validate", fail)
    with pytest.raises(FileNotFoundError, match=r"of checkpoint=.* does not exist; make it first"):
        s2s.tl.impute(section, checkpoint=tmp_path / "nope" / "x", **quick)


def test_negative_values_stay_negative(section):
    section.X = section.X.toarray() - 3
    s2s.tl.impute(section, preset="quick", progress=False)
    assert section.layers["s2s"][~section.obs["s2s_measured"].to_numpy()].min() < -1


def test_interruption_while_writing_leaves_everything_as_it_was(imputed, monkeypatch):
    before = imputed.copy()
    with monkeypatch.context() as patched:
        patched.setattr(type(imputed.layers), "__setitem__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            s2s.tl.interpolate(imputed, "nearest")
    assert list(imputed.layers) == list(before.layers)
    pd.testing.assert_frame_equal(imputed.obs, before.obs)
    assert list(imputed.uns["s2s"]) == list(before.uns["s2s"])


@pytest.mark.parametrize("images", [None, np.random.default_rng(0).random((3, 40, 40))])
def test_natural_images(section, quick, images):
    s2s.tl.impute(section, **quick | {"natural_images": images})
    columns = s2s.get.history_df(section).columns
    assert any(column.startswith("loss_images") for column in columns) == (images is not None)


def test_nan_in_hidden_spots_does_not_matter(section, imputed, quick):
    section.X = section.X.toarray()
    section.X[section.obs["s2s_held_out"].to_numpy()] = np.nan
    s2s.tl.impute(section, **quick)
    assert np.array_equal(section.layers["s2s"], imputed.layers["s2s"])


def test_the_log_says_what_was_done_and_how_well(section, quick, caplog):
    with caplog.at_level("INFO", "s2s_scverse"):
        s2s.tl.impute(section, ["domain_1", "hot_spot_1"], **quick)
    first = f"{section.obs['s2s_measured'].sum()} spots, {section.n_obs} sites, 2 genes; depth: recovered from values; "
    beginnings = [
        first,
        "initial estimates ...",
        "training ...",
        "network: trained for 2 epochs; ",
        "imputed 2 genes at ",
    ]
    assert len(caplog.messages) == len(beginnings)
    for message, beginning in zip(caplog.messages, beginnings, strict=True):
        assert message.startswith(beginning)
    reliability = section.var["s2s_reliability"].dropna()
    assert f"; expected correlation {reliability.mean():.2f} (80 % of the genes: " in caplog.messages[-1]


def test_values_that_were_logged_twice_are_told():
    adata = s2s.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=40)
    dense = s2s.pp.grid(adata)
    s2s.pp.normalize(dense)
    dense.X = dense.X.log1p()
    with pytest.warns(UserWarning, match="log1p seems to have been applied twice"):
        s2s.tl.impute(dense, preset="quick", progress=False)
