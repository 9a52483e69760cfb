"""Faults of the machine: whatever happens, nothing half written is taken for whole, and the same call goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s
from s2s_scverse import _train
from s2s_scverse._cli._write import replacing

HERE = Path(__file__).parent
KILLS = int(os.environ.get("S2S_KILLS", "5"))
ENVIRONMENT = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
# What is freed goes back to the system at once, so that a limit is felt by the next large array.
ENVIRONMENT["MALLOC_MMAP_THRESHOLD_"] = "65536"


def run(script, *arguments):
    command = [sys.executable, "-W", "ignore", HERE / script, *arguments]
    return subprocess.run(
        [str(each) for each in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=1800,
        env=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def file(_section, tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "section.h5ad"
    _section.write_h5ad(path)
    return path


@pytest.mark.parametrize("how", ["store", "h5ad", "zarr"])
def test_killed_at_random_moments(file, tmp_path, how):
    found = run("killed.py", how, file, tmp_path, KILLS, int.from_bytes(os.urandom(4), "little"))
    assert found.returncode == 0, found.stdout + found.stderr
    runs = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(runs) == KILLS
    assert any(each["killed"] for each in runs)
    for each in runs:
        assert each["whole_if_there"], each
        assert each["same"], each


@pytest.fixture(scope="module")
def many_genes(tmp_path_factory):
    """A section whose blocks of genes take megabytes."""
    adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=520, depth=10_000)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    del adata.layers["truth"]
    path = tmp_path_factory.mktemp("many") / "section.h5ad"
    s2s.pp.grid(adata, upsample=3).write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("what", "error", "there"),
    [
        ("memory", "MemoryError this takes about 1.2 GB, and there was less: pass store= ", []),
        (
            "checkpoint",
            "OSError [Errno 27] the checkpoint {}/training could not be written: File too large",
            ["training"],
        ),
        ("store", "OSError [Errno 27] store='{}/layers' could not be written (File too large); ", ["layers.partial"]),
    ],
    ids=["memory", "checkpoint", "store"],
)
def test_too_little_room(many_genes, tmp_path, what, error, there):
    found = run("limited.py", what, many_genes, tmp_path)
    assert found.returncode == 0, found.stderr
    told, *others = found.stdout.splitlines()
    assert told.startswith(error.format(tmp_path))
    assert others == ["unchanged True", f"there {there}", "same True"]


def test_a_store_that_is_being_written_is_refused(section, quick, tmp_path, monkeypatch):
    other, refused = section.copy(), []
    impute_block = _train.Imputation.__call__

    def meanwhile(self, values):
        monkeypatch.undo()
        for rng in (0, 1):  # the same run, and another
            with pytest.raises(FileExistsError, match=r"store\.partial is being written by somebody else; wait"):
                s2s.tl.impute(other, store=tmp_path / "store", rng=rng, **quick)
            refused.append(rng)
        return impute_block(self, values)

    monkeypatch.setattr(_train.Imputation, "__call__", meanwhile)
    s2s.tl.impute(section, store=tmp_path / "store", **quick)
    assert refused == [0, 1]
    assert "s2s" not in other.layers
    s2s.tl.impute(other, **quick)
    np.testing.assert_array_equal(section.layers["s2s"].compute(), other.layers["s2s"])
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_store_that_appears_meanwhile_is_not_taken_for_ones_own(section, quick, tmp_path, monkeypatch):
    s2s.tl.impute(section.copy(), store=tmp_path / "other", rng=1, **quick)
    impute_block = _train.Imputation.__call__

    def meanwhile(self, values):
        if (tmp_path / "other").exists():
            (tmp_path / "other").rename(tmp_path / "store")
        return impute_block(self, values)

    monkeypatch.setattr(_train.Imputation, "__call__", meanwhile)
    with pytest.raises(FileExistsError, match="exists already, and is not what this call would write"):
        s2s.tl.impute(section, store=tmp_path / "store", **quick)
    assert "s2s" not in section.layers


@pytest.mark.parametrize("left", [[], ["zarr.0123.partial"]], ids=["nothing", "a file without its name"])
def test_a_store_goes_on_that_had_hardly_begun(section, quick, tmp_path, left):
    (tmp_path / "store.partial").mkdir()
    for name in left:
        (tmp_path / "store.partial" / name).touch()
    s2s.tl.impute(section, store=tmp_path / "store", **quick)
    assert "s2s" in section.layers
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_forked_processes_do_not_wait_for_threads_that_they_do_not_have(section, quick, monkeypatch):
    """Of the parent's threads, one of which is imputing when it forks."""
    from s2s_scverse._train import _turn

    begun, done = threading.Event(), threading.Event()

    @_turn.taking_turns
    def busy():
        begun.set()
        done.wait(20)

    thread = threading.Thread(target=busy)
    thread.start()
    begun.wait(20)
    process = os.fork()
    if not process:
        _turn.taking_turns(lambda: os._exit(7))()
    signal.alarm(20)  # or it would wait for ever
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    signal.alarm(0)
    done.set()
    thread.join()
    assert status == 7


def test_a_failed_store_can_be_taken_up_at_once(section, quick, tmp_path, monkeypatch):
    def fails(self, values):
        msg = "a fault"
        raise RuntimeError(msg)

    monkeypatch.setattr(_train.Imputation, "__call__", fails)
    with pytest.raises(RuntimeError, match="a fault") as error:
        s2s.tl.impute(section, store=tmp_path / "store", **quick)
    monkeypatch.undo()
    s2s.tl.impute(section, store=tmp_path / "store", **quick)
    assert error.value is not None  # as in a notebook, its frames are still there
    assert "s2s" in section.layers


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_writers_of_one_output(tmp_path, folder):
    """The last one wins; a file that has the name is whole at any time, a folder or none."""
    path, failures, seen = tmp_path / "out", [], set()
    done = threading.Event()

    def content():
        try:
            return "".join((path / name).read_text() for name in "ab") if folder else path.read_text()
        except FileNotFoundError:
            return None  # a folder that was renamed meanwhile

    def write(text):
        try:
            for _ in range(60):
                with replacing(path) as temporary:
                    if folder:
                        temporary.mkdir()
                        for name in "ab":
                            (temporary / name).write_text(text)
                    else:
                        temporary.write_text(text * 2)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    def read():
        while not done.is_set():
            seen.add(content())

    reader, *writers = [threading.Thread(target=read)] + [
        threading.Thread(target=write, args=(text,)) for text in "xyz"
    ]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not failures
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert content() in ("xx", "yy", "zz")
    if not folder:
        assert seen <= {"xx", "yy", "zz", None}


def test_two_commands_of_one_output(section, tmp_path):
    """As two jobs of a workflow that was started twice."""
    source, out = tmp_path / "section.h5ad", tmp_path / "out.zarr"
    section.write_h5ad(source)
    main = "from s2s_scverse._cli import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", main, "-q", "impute", source, "-o", out, "--max-epochs", "0"]
    both = [
        subprocess.Popen([str(each) for each in command], stderr=subprocess.PIPE, env=ENVIRONMENT) for _ in range(2)
    ]
    for process in both:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert not np.isnan(ad.read_zarr(out).layers["s2s"]).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "section.h5ad"]
