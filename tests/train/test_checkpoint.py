from dataclasses import replace

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback

import s2s_scverse as s2s
from s2s_scverse._train._lightning import TrainingPlan
from s2s_scverse.nn import CDCINConfig


@pytest.fixture
def longer(quick):
    return quick | {"training": replace(quick["training"], max_epochs=3)}


class Killed(BaseException):
    """As sudden as kill -9: nothing of ours may handle it."""


def kill_in_epoch(monkeypatch, epoch):
    step = TrainingPlan.training_step

    def dying(self, batch, batch_idx):
        if self.current_epoch == epoch and batch_idx == 1:
            raise Killed
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingPlan, "training_step", dying)


def test_interrupted_runs_go_on_to_the_same_result(section, longer, tmp_path, monkeypatch):
    expected = s2s.tl.impute(section, copy=True, **longer)
    path = tmp_path / "run.ckpt"
    with monkeypatch.context() as patched:
        kill_in_epoch(patched, 2)
        with pytest.raises(Killed):
            s2s.tl.impute(section, checkpoint=path, **longer)
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]
    assert "s2s" not in section.layers
    s2s.tl.impute(section, checkpoint=path, **longer)
    assert np.array_equal(section.layers["s2s"], expected.layers["s2s"])
    assert s2s.get.history_df(section).equals(s2s.get.history_df(expected))
    assert section.uns["s2s"]["s2s"]["shrinkage"] == expected.uns["s2s"]["s2s"]["shrinkage"]
    kill_in_epoch(monkeypatch, 0)  # finished, it is not trained again
    s2s.tl.impute(section, checkpoint=path, **longer)
    assert np.array_equal(section.layers["s2s"], expected.layers["s2s"])


def test_pretrained_weights_impute_without_training(section, imputed, quick, tmp_path):
    written = tmp_path / "run.ckpt"
    s2s.tl.impute(section.copy(), checkpoint=written, **quick)
    s2s.tl.impute(section, pretrained=written, max_epochs=0, **quick)
    assert s2s.get.history_df(section).empty
    model, trained = (adata.uns["s2s"]["s2s"]["model"] for adata in (section, imputed))
    assert all(np.array_equal(array, trained["network"][name]) for name, array in model["network"].items())
    other = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=22, n_genes=8, rng=5), upsample=1)
    other.X.data = np.log1p(other.X.data)
    s2s.pp.sparsify(other)
    s2s.tl.impute(other, pretrained=written, max_epochs=0, **quick)
    untrained = s2s.tl.impute(other, copy=True, **quick | {"max_epochs": 0})
    assert not np.array_equal(other.layers["s2s"], untrained.layers["s2s"])
    s2s.tl.impute(other, pretrained=written, **quick)
    assert len(s2s.get.history_df(other)) == 2


def test_settings_of_numpy_are_gone_on_from_as_well(section, longer, tmp_path):
    training = replace(longer["training"], max_epochs=np.int64(2), learning_rate=np.float64(0.01))
    network = CDCINConfig(stages=np.int64(1), noise_level=np.float32(0.5))
    options = longer | {"training": training, "network": network, "checkpoint": tmp_path / "run.ckpt"}
    written, read = (s2s.tl.impute(section, copy=True, **options).layers["s2s"] for _ in range(2))
    assert np.array_equal(written, read)


class Counting(Callback):
    """An argument of lightning that is no plain value."""

    batches = 0

    def on_train_batch_end(self, *_):
        self.batches += 1


def test_arguments_of_lightning_are_passed_on_and_are_no_part_of_the_run(section, longer, tmp_path):
    counting = Counting()
    training = replace(longer["training"], trainer_kwargs={"callbacks": [counting], "limit_train_batches": 1})
    path = tmp_path / "run.ckpt"
    s2s.tl.impute(section, checkpoint=path, **longer | {"training": training})
    assert counting.batches == training.max_epochs
    assert "trainer_kwargs" not in section.uns["s2s"]["s2s"]["params"]["training"]
    expected = section.layers["s2s"].copy()
    s2s.tl.impute(section, checkpoint=path, **longer)  # finished already
    assert np.array_equal(section.layers["s2s"], expected)
