"""Blocks of genes on a dask cluster give what one process gives, whatever happens to a worker."""

import os
import signal
import threading
import time

import distributed
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._adata import Layers, _genes


@pytest.fixture(scope="module")
def cluster():
    arguments = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**arguments) as found:
        yield found


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(_genes, "GENE_BLOCK", 2)


@pytest.fixture
def alone(section, quick):
    """What one process gives."""
    adata = section.copy()
    s2s.tl.impute(adata, **quick)
    return adata


def same(found, alone):
    for key in ("s2s", "s2s_std"):
        np.testing.assert_array_equal(np.asarray(found.layers[key]), alone.layers[key])
    np.testing.assert_array_equal(found.var["s2s_reliability"], alone.var["s2s_reliability"])


@pytest.mark.parametrize("lazy", [False, True])
def test_two_workers(section, alone, quick, cluster, tmp_path, lazy):
    if lazy:
        import dask.array as da

        section.X = da.from_array(section.X.toarray(), chunks=(100, 3))
    with distributed.Client(cluster) as client, distributed.get_task_stream(client) as stream:
        s2s.tl.impute(section, store=tmp_path / "out" if lazy else None, **quick)
    blocks = [task for task in stream.data if "impute_block" in str(task["key"])]
    assert len(blocks) == 6
    assert len({task["worker"] for task in blocks}) == 2
    same(section, alone)


@pytest.mark.slow
def test_a_killed_worker(section, alone, quick, cluster, monkeypatch):
    with distributed.Client(cluster) as client:
        pids = client.run(os.getpid)
        victim = next(iter(pids.values()))
        written = MemoryWatch(monkeypatch)
        killer = threading.Thread(target=kill_after, args=(victim, written))
        killer.start()
        s2s.tl.impute(section, **quick)
        killer.join()
        assert victim not in client.run(os.getpid).values()
    same(section, alone)


class MemoryWatch:
    """Counts the blocks that have come back."""

    def __init__(self, monkeypatch):
        self.count = 0
        write = Layers.write

        def counting(layers, *block):
            write(layers, *block)
            self.count += 1
            time.sleep(0.2)  # so that there is something left to lose

        monkeypatch.setattr(Layers, "write", counting)


def kill_after(pid, written):
    while written.count < 2:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
