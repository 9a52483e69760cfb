import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

import s2s_scverse as s2s
from s2s_scverse._train import TRAINING_PRESETS, Parallel
from s2s_scverse._train._batches import Batches, Windows
from s2s_scverse._train._module import TrainingPlan

# A rough start, so that the network has something to add and the gate opens.
TRAINING = replace(
    TRAINING_PRESETS["fast"],
    start="nearest",
    max_epochs=3,
    steps_per_epoch=8,
    patterns=2,
    batch_size=3,
    n_images=3,
    precision="32",
)
ARGUMENTS = {"preset": "fast", "natural_images": "textures", "uncertainty": False, "progress": False}

SCRIPT = """
import os
import random
import sys
from pathlib import Path

import anndata as ad
import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only

import s2s_scverse as s2s

folder = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from test_parallel import ARGUMENTS, TRAINING

lightning.seed_everything(1, verbose=False)
random.random(), np.random.random(), torch.rand(1)
adata = ad.read_h5ad(folder / "section.h5ad")


def state():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(), torch.get_num_threads()


before, variables = state(), set(os.environ)
arguments = ARGUMENTS | {"training": TRAINING, "devices": 2, "strategy": "ddp"}
s2s.tl.impute(adata, checkpoint=folder / "run.ckpt", **arguments)
assert state() == before
assert set(os.environ) - variables <= {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"}
s2s.tl.impute(adata, key_added="again", **arguments)
assert np.array_equal(adata.layers["again"], adata.layers["s2s"])
assert torch.distributed.get_world_size() == 2
assert torch.distributed.get_rank() == rank_zero_only.rank
s2s.get.history_df(adata).to_csv(folder / f"history_{rank_zero_only.rank}.csv")
np.savez(folder / f"rank_{rank_zero_only.rank}.npz", layer=adata.layers["s2s"], gate=adata.uns["s2s"]["s2s"]["gate"])
"""


@pytest.fixture(scope="module")
def doubled(_section):
    """One process with the batch of two."""
    adata = _section.copy()
    torch.set_num_threads(1)  # again: scanpy's numba, which has made the section, takes all there are
    s2s.tl.impute(adata, training=replace(TRAINING, batch_size=2 * TRAINING.batch_size), **ARGUMENTS)
    return adata


def run_script(folder, *launcher):
    """Run the script as a user would, in an environment that says nothing of processes."""
    (folder / "script.py").write_text(SCRIPT)
    own = {"RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED"}
    env = {name: value for name, value in os.environ.items() if name not in own and not name.startswith("SLURM")}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(s2s.__file__).parents[1])}
    command = [sys.executable, *launcher, str(folder / "script.py"), str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("launcher", [[], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]])
def test_two_processes_train_as_one_with_twice_the_batch(section, doubled, tmp_path, launcher):
    section.write_h5ad(tmp_path / "section.h5ad")
    run_script(tmp_path, *launcher)
    found = [np.load(tmp_path / f"rank_{rank}.npz") for rank in range(2)]
    assert np.array_equal(found[0]["layer"], found[1]["layer"])
    np.testing.assert_allclose(found[0]["layer"], doubled.layers["s2s"], rtol=0, atol=1e-4)
    gate = doubled.uns["s2s"]["s2s"]["gate"]
    assert 0 < gate < 1
    np.testing.assert_allclose([each["gate"] for each in found], gate, rtol=1e-4)
    for rank in range(2):
        history = pd.read_csv(tmp_path / f"history_{rank}.csv", index_col=0)
        pd.testing.assert_frame_equal(history, s2s.get.history_df(doubled), rtol=1e-5, check_dtype=False)
    # The checkpoint is one file, and that of one process with twice the batch.
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix == ".ckpt") == ["run.ckpt"]
    arguments = ARGUMENTS | {"checkpoint": tmp_path / "run.ckpt", "copy": True}
    again = s2s.tl.impute(section, training=replace(TRAINING, batch_size=2 * TRAINING.batch_size), **arguments)
    assert np.array_equal(again.layers["s2s"], found[0]["layer"])
    with pytest.raises(ValueError, match="batch_size is 6 there and 3 here"):
        s2s.tl.impute(section, training=TRAINING, **arguments)


def test_processes_share_out_the_genes_of_one_draw(section, monkeypatch):
    captured = []
    monkeypatch.setattr("s2s_scverse._train._fit.train", lambda plan, data, **_: captured.append(data))
    s2s.tl.impute(section, training=TRAINING, **ARGUMENTS)
    (data,) = captured
    assert isinstance(data, Batches)
    twice = replace(TRAINING, batch_size=2 * TRAINING.batch_size)
    whole = Windows(data.terms, twice, seed=5, epoch=1)
    halves = [Windows(data.terms, TRAINING, seed=5, epoch=1, rank=rank, world_size=2) for rank in range(2)]
    for step, expected in enumerate(whole):
        parts = [half[step] for half in halves]
        for name, batch in expected.items():
            for field in ("values", "mask", "maps", "target", "weight"):
                joined = torch.cat([getattr(part[name], field) for part in parts])
                assert torch.equal(joined, getattr(batch, field))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"devices": 0}, ValueError, "devices must be at least 1, found 0"),
        ({"num_nodes": -1}, ValueError, "num_nodes must be at least 1, found -1"),
        ({"devices": 1.5}, TypeError, "devices must be an integer"),
        *(
            ({"devices": 2, "strategy": name}, ValueError, f"strategy must be 'auto' or 'ddp', found '{name}'")
            for name in ("ddp_spawn", "ddp_fork", "ddp_notebook", "fsdp", "nope")
        ),
        ({"devices": 2, "rng": None}, ValueError, "rng must be a seed where several processes train"),
    ],
)
def test_what_cannot_work_is_refused_before_training(section, quick, monkeypatch, arguments, error, message):
    monkeypatch.setattr("s2s_scverse._train.fit", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(error, match=message):
        s2s.tl.impute(section, **(quick | arguments))
    assert "s2s" not in section.layers


def test_interactive_sessions_do_not_start_processes(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert Parallel().n_processes == 1
    with pytest.raises(ValueError, match="cannot be started from an interactive session"):
        Parallel(devices=2)


def test_devices_must_be_there(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    Parallel(devices=4).check(torch.device("cpu"))
    Parallel(devices=3).check(torch.device("cuda"))
    with pytest.raises(ValueError, match="devices is 4, but this machine has 3 of the type 'cuda'"):
        Parallel(devices=4).check(torch.device("cuda"))
    with pytest.raises(ValueError, match="'cuda:1' is a single one, but devices is 2; pass 'cuda'"):
        Parallel(devices=2).check(torch.device("cuda:1"))


def test_a_script_keeps_its_number_of_processes(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for allowed in (Parallel(), Parallel(2), Parallel(1, 2)):
        allowed.check(torch.device("cpu"))
    for refused in (Parallel(3), Parallel(1, 1, "ddp")):
        with pytest.raises(ValueError, match="the process group of this script has 2"):
            refused.check(torch.device("cpu"))


def test_processes_with_other_data_or_seeds_are_refused(section, quick, monkeypatch):
    monkeypatch.setattr(SingleDeviceStrategy, "broadcast", lambda self, obj, src=0: ("other", 0))
    monkeypatch.setattr(TrainingPlan, "training_step", lambda *_: pytest.fail("too late"))
    with pytest.raises(ValueError, match="must be given the same values, spots, arguments and checkpoint"):
        s2s.tl.impute(section, **quick)
