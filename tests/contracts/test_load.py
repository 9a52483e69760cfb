"""Many runs in a row, and several at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# BLAS has as many threads as there are cores: how sums are rounded must not depend on what other threads do.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA")}
TIMES = int(os.environ.get("S2S_RUNS", "200"))


def run(script, *arguments):
    command = [sys.executable, "-W", "ignore", HERE / script, *arguments]
    found = subprocess.run(
        [str(each) for each in command], check=False, capture_output=True, text=True, env=os.environ | ONE_THREAD
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_memory_files_and_threads_stay_as_they_are(tmp_path):
    first, *others = map(json.loads, run("repeated.py", TIMES, tmp_path))
    assert others
    for each in others:
        # 194 MB are in use; a layer of this section has 16 kB.
        assert each["bytes"] - first["bytes"] < 4e5
        assert each["files"] == first["files"]
        # The pool of threads that zarr writes with may get its last one late; it does not grow with the runs.
        assert each["threads"] <= first["threads"] + 3


def test_threads_and_processes_give_what_one_run_gives():
    assert run("together.py") == ["fork True", "spawn True", "threads True", "unchanged True"]
