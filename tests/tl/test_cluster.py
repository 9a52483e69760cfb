"""Blocks of genes on a dask cluster give what one process gives, whatever happens to a worker."""

import os
import signal
import threading
import time

import dask
import dask.array as da
import distributed
import numpy as np
import pandas as pd
import pytest

import s2s_scverse as s2s
from s2s_scverse._adata import Layers, _genes


@pytest.fixture(scope="module")
def cluster(request):
    """A worker in this process, or two processes."""
    processes = getattr(request, "param", True)
    arguments = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=1 + processes, processes=processes, **arguments) as found:
        yield found


@pytest.fixture
def alone(_section, quick, monkeypatch):
    """What one process gives."""
    monkeypatch.setattr(_genes, "GENE_BLOCK", 2)
    adata = _section.copy()
    s2s.tl.impute(adata, **quick)
    return adata


def same(found, alone):
    for key in ("s2s", "s2s_std"):
        np.testing.assert_array_equal(np.asarray(found.layers[key]), alone.layers[key])
    np.testing.assert_array_equal(found.var["s2s_reliability"], alone.var["s2s_reliability"])


@pytest.mark.parametrize("cluster", [False, pytest.param(True, marks=pytest.mark.slow)], indirect=True)
def test_workers(section, alone, quick, cluster, tmp_path):
    lazy = section.copy()
    lazy.X = da.from_array(section.X.toarray(), chunks=(100, 3))
    for adata, store in ((section, None), (lazy, tmp_path / "out")):
        with distributed.Client(cluster) as client, distributed.get_task_stream(client) as stream:
            s2s.tl.impute(adata, store=store, **quick)
        blocks = [task for task in stream.data if "impute_block" in str(task["key"])]
        assert len(blocks) == 6
        assert len({task["worker"] for task in blocks}) == len(cluster.workers)
        same(adata, alone)


@pytest.mark.parametrize("cluster", [False, pytest.param(True, marks=pytest.mark.slow)], indirect=True)
def test_statistics_of_draws(alone, cluster):
    def statistic(draw):
        return draw.to_df().var()

    def failing(draw):
        msg = "no statistic"
        raise ArithmeticError(msg)

    expected = s2s.tl.propagate(alone, statistic, 4, progress=False)
    small = dask.config.set({"distributed.admin.large-graph-warning-threshold": 1})  # that a draw exceeds
    with small, distributed.Client(cluster) as client, distributed.get_task_stream(client) as stream:
        pd.testing.assert_frame_equal(s2s.tl.propagate(alone, statistic, 4, progress=False), expected)
        with pytest.raises(ArithmeticError, match="no statistic"):
            s2s.tl.propagate(alone, failing, 4, progress=False)
    assert sum("statistic" in str(task["key"]) for task in stream.data) == 4


@pytest.mark.slow
def test_a_killed_worker(section, alone, quick, cluster, monkeypatch):
    write, written = Layers.write, []

    def counting(layers, *block):
        write(layers, *block)
        written.append(block)
        time.sleep(0.2)  # so that there is something left to lose

    def kill_after_two_blocks(pid):
        while len(written) < 2:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(Layers, "write", counting)
    with distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=kill_after_two_blocks, args=(victim,))
        killer.start()
        s2s.tl.impute(section, **quick)
        killer.join()
        assert victim not in client.run(os.getpid).values()
    same(section, alone)
