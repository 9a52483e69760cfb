import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import s2s_scverse as s2s
from s2s_scverse._train._module import TrainingPlan
from s2s_scverse.nn import CDCINConfig


@pytest.fixture
def longer(quick):
    return quick | {"training": replace(quick["training"], max_epochs=4)}


class Killed(BaseException):
    """As sudden as kill -9: nothing of ours may handle it."""


def kill_in_epoch(monkeypatch, epoch):
    step = TrainingPlan.training_step

    def dying(self, batch, batch_idx):
        if self.current_epoch == epoch and batch_idx == 1:
            raise Killed
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingPlan, "training_step", dying)


@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupted_runs_go_on_to_the_same_result(section, longer, tmp_path, monkeypatch, epoch):
    expected = s2s.tl.impute(section, copy=True, **longer)
    path = tmp_path / "run.ckpt"
    with monkeypatch.context() as patched:
        kill_in_epoch(patched, epoch)
        with pytest.raises(Killed):
            s2s.tl.impute(section, checkpoint=path, **longer)
    assert [file.name for file in tmp_path.iterdir()] == ["run.ckpt"]
    assert "s2s" not in section.layers
    s2s.tl.impute(section, checkpoint=path, **longer)
    assert np.array_equal(section.layers["s2s"], expected.layers["s2s"])
    assert s2s.get.history_df(section).equals(s2s.get.history_df(expected))
    assert section.uns["s2s"]["s2s"]["gate"] == expected.uns["s2s"]["s2s"]["gate"]


@pytest.mark.parametrize("patience", [1, 9])
def test_finished_runs_are_not_trained_again(section, longer, tmp_path, monkeypatch, patience):
    longer["training"] = replace(longer["training"], patience=patience, learning_rate=0.05)
    path = tmp_path / "run.ckpt"
    expected = s2s.tl.impute(section, copy=True, checkpoint=path, **longer)
    assert len(s2s.get.history_df(expected)) < 4 or patience == 9
    kill_in_epoch(monkeypatch, 0)
    s2s.tl.impute(section, checkpoint=path, **longer)
    assert np.array_equal(section.layers["s2s"], expected.layers["s2s"])


@pytest.fixture(scope="module")
def written(_section, quick, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "run.ckpt"
    s2s.tl.impute(_section.copy(), checkpoint=path, **quick)
    return path


def test_checkpoints_hold_plain_values_and_tensors(written):
    content = torch.load(written, weights_only=True)["s2s"]
    assert content["kind"] == "square"
    assert content["network"]["stages"] == 1
    assert content["version"] == s2s.__version__
    assert all(isinstance(weights, torch.Tensor) for weights in content["weights"].values())


def test_pretrained_weights_impute_without_training(section, imputed, written, quick):
    s2s.tl.impute(section, pretrained=written, max_epochs=0, **quick)
    assert np.array_equal(section.layers["s2s"], imputed.layers["s2s"])
    assert s2s.get.history_df(section).empty
    other = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=22, n_genes=8, rng=5), upsample=1)
    other.X.data = np.log1p(other.X.data)
    s2s.pp.sparsify(other)
    s2s.tl.impute(other, pretrained=written, max_epochs=0, **quick)
    untrained = s2s.tl.impute(other, copy=True, max_epochs=0, **quick)
    assert not np.array_equal(other.layers["s2s"], untrained.layers["s2s"])
    s2s.tl.impute(other, pretrained=written, **quick)
    assert len(s2s.get.history_df(other)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rng": 1}, "checkpoint of another run: measured values, mask or seed differ"),
        ({"max_epochs": 7}, "another run: training max_epochs is 2 there and 7 here"),
        ({"layer": "truth"}, "another run: measured values"),
    ],
)
def test_checkpoints_of_other_runs_are_refused(section, written, quick, change, message):
    with pytest.raises(ValueError, match=message):
        s2s.tl.impute(section, checkpoint=written, **(quick | change))


def test_weights_of_other_networks_are_refused(section, written, quick):
    with pytest.raises(ValueError, match=r"do not fit .* square lattice: network stages is 1 there and 2 here"):
        s2s.tl.impute(section, pretrained=written, network=CDCINConfig(stages=2), **quick)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint found at .*nope"):
        s2s.tl.impute(section, pretrained=written.parent / "nope", **quick)
    with pytest.raises(FileNotFoundError, match=r"folder .* of checkpoint=.* does not exist; make it first"):
        s2s.tl.impute(section, checkpoint=written.parent / "nope" / "run.ckpt", **quick)


class Harmful:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("content", ["truncated", "random", "pickle", "foreign", "folder"])
@pytest.mark.parametrize("argument", ["checkpoint", "pretrained"])
def test_unreadable_files_are_refused_and_never_executed(section, written, quick, tmp_path, content, argument, capsys):
    path = tmp_path / "run.ckpt"
    whole = written.read_bytes()
    if content == "folder":
        path.mkdir()
    elif content == "foreign":
        torch.save({"weights": torch.ones(3)}, path)
    elif content == "pickle":
        path.write_bytes(pickle.dumps(Harmful()))
    else:
        path.write_bytes(whole[: len(whole) // 2] if content == "truncated" else np.random.default_rng(0).bytes(999))
    with pytest.raises(ValueError, match=r"no readable checkpoint|no checkpoint of s2s_scverse|is a folder"):
        s2s.tl.impute(section, **{argument: path}, **quick)
    assert "executed" not in capsys.readouterr().out
    assert "s2s" not in section.layers


@pytest.fixture(scope="module")
def interrupted(_section, quick, tmp_path_factory):
    """A checkpoint of a run that was interrupted in its third epoch, and its options."""
    path = tmp_path_factory.mktemp("interrupted") / "run.ckpt"
    options = quick | {"training": replace(quick["training"], max_epochs=4)}
    with pytest.MonkeyPatch.context() as patched:
        kill_in_epoch(patched, 2)
        with pytest.raises(Killed):
            s2s.tl.impute(_section.copy(), checkpoint=path, **options)
    return path, options


@pytest.fixture
def unfinished(section, interrupted, tmp_path):
    """A copy of it, and how to go on from that."""
    path = tmp_path / "runs" / "run.ckpt"
    path.parent.mkdir()
    path.write_bytes(interrupted[0].read_bytes())
    return path, lambda: s2s.tl.impute(section, checkpoint=path, **interrupted[1])


def first(named):
    return named[next(iter(named))]


def adam(content):
    return content["optimizer_states"][0]


def progress(content):
    return content["loops"]["fit_loop"]["epoch_progress"]["current"]


def nested(depth):
    """A list that is small, and takes for ever to print."""
    found = []
    for _ in range(depth):
        found = [found, found]
    return found


ANOTHER = "its optimiser, or its early stopping, is that of another training"


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # of torch 2.14 on loading a sparse tensor
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it["s2s"]["weights"].popitem(), "the weights in .* are not those of its network"),
        (lambda it: first(it["s2s"]["weights"]).fill_(np.nan), "the weights in .* are not those of its network"),
        (lambda it: it["s2s"].update(history=[]), "the history in .* is not one of training"),
        (lambda it: it["s2s"].update(history=[{"validation": "low"}]), "the history in .* is not one of training"),
        (lambda it: it["s2s"].update(kind=nested(60)), "no checkpoint of s2s_scverse"),
        (lambda it: it["s2s"]["training"].update(max_epochs=nested(60)), "no checkpoint of s2s_scverse"),
        (lambda it: it.update(more=torch.zeros(1).expand(10**9)), "holds tensors that are not stored in it"),
        (
            lambda it: it.update(more=torch.zeros(9).as_strided((3, 3), (2, 1))),
            "holds tensors that are not stored in it",
        ),
        (lambda it: it.update(more=torch.zeros(9).to_sparse()), "holds tensors that are not stored in it"),
        (lambda it: it.update(more=nested(60)), None),
        (lambda it: it["s2s"]["history"].pop(), "ValueError: it has trained 2 epochs, but its history has 1"),
        (lambda it: it["state_dict"].popitem(), "RuntimeError: .*Missing key"),
        (lambda it: it.pop("optimizer_states"), "KeyError: .*restore optimizer state"),
        (lambda it: it["optimizer_states"][0]["param_groups"].pop(), "ValueError: .*parameter groups"),
        (lambda it: first(it["state_dict"]).fill_(np.nan), ANOTHER),
        (lambda it: adam(it)["state"].clear(), ANOTHER),
        (lambda it: adam(it)["state"][0].update(exp_avg=torch.zeros(3)), ANOTHER),
        (lambda it: adam(it)["state"][0].update(more=torch.zeros(3)), ANOTHER),
        (lambda it: adam(it)["state"][0]["exp_avg"].fill_(np.nan), ANOTHER),
        (lambda it: adam(it)["state"][0]["step"].fill_(-1e9), ANOTHER),
        (lambda it: adam(it)["param_groups"][0].update(eps=1.0), ANOTHER),
        (lambda it: adam(it)["param_groups"][0].update(lr=1e30), ANOTHER),
        (lambda it: it["lr_schedulers"][0].update(base_lrs=[9.0]), ANOTHER),
        (lambda it: it["lr_schedulers"][0].update(optimizer=None), "its schedule has other fields"),
        (lambda it: first(it["callbacks"]).update(best_score=torch.tensor(-1.0)), ANOTHER),
        (lambda it: first(it["callbacks"]).update(best_score=3), ANOTHER),
        (lambda it: first(it["callbacks"]).update(patience=10**9), ANOTHER),
        (lambda it: it["callbacks"].clear(), ANOTHER),
        (lambda it: it["loops"].clear(), "KeyError: "),
        (lambda it: progress(it).update(processed=99), "it has trained 99 epochs|nothing was trained"),
    ],
)
def test_what_training_does_not_write_is_not_gone_on_from(section, unfinished, change, message):
    path, go_on = unfinished
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    if message is None:  # nobody looks at it
        go_on()
        return
    with pytest.raises(ValueError, match=rf"(?s){message}") as refused:
        go_on()
    assert "run.ckpt" in str(refused.value)
    assert "s2s" not in section.layers


@pytest.mark.parametrize("victim", ["local://{}/elsewhere", "{}/runs/beside"])
def test_nothing_that_a_checkpoint_names_is_deleted(unfinished, tmp_path, victim):
    """Lightning's own callback deletes what the checkpoint that it goes on from calls the best one so far."""
    path, go_on = unfinished
    mine = tmp_path / victim.split("{}/")[1]
    mine.write_text("mine")
    content = torch.load(path, weights_only=True)
    named = dict.fromkeys(("best_model_path", "last_model_path", "kth_best_model_path"), victim.format(tmp_path))
    named |= {"best_model_score": None, "current_score": None, "kth_value": torch.tensor(0.0)}
    named |= {"dirpath": str(path.parent), "best_k_models": {victim.format(tmp_path): torch.tensor(0.0)}}
    key = (
        "ModelCheckpoint{'monitor': None, 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    content["callbacks"] |= dict.fromkeys((key, "AfterEveryEpoch"), named)
    torch.save(content, path)
    go_on()
    assert mine.read_text() == "mine"


def test_settings_of_numpy_are_gone_on_from_as_well(section, longer, tmp_path):
    training = replace(longer["training"], max_epochs=np.int64(2), learning_rate=np.float64(0.01))
    options = longer | {"training": training, "network": CDCINConfig(stages=np.int64(1), noise_level=np.float32(0.5))}
    expected = s2s.tl.impute(section, copy=True, checkpoint=tmp_path / "run.ckpt", **options)
    s2s.tl.impute(section, checkpoint=tmp_path / "run.ckpt", **options)
    assert np.array_equal(section.layers["s2s"], expected.layers["s2s"])


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), torch.OutOfMemoryError("out of memory")])
def test_what_is_not_the_checkpoints_fault_is_not_blamed_on_it(unfinished, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lightning.Trainer.fit", fail)
    with pytest.raises((OSError, MemoryError), match=r"Input/output error|too little memory"):
        unfinished[1]()
