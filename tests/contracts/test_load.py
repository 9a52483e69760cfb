"""Many runs in a row."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Bytes in use are those of glibc: the process gets more from the system as its heap fragments.
SCRIPT = """
import ctypes, gc, json, pathlib, sys, threading
import s2s_scverse as s2s

class Heap(ctypes.Structure):
    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Heap
adata = s2s.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=8, rng=3)
s2s.pp.normalize(adata)
dense = s2s.pp.grid(adata)
for number in range(int(sys.argv[1])):
    section = dense.copy()
    s2s.tl.impute(section, max_epochs=int(number % 10 == 0), progress=False, rng=number)
    if number % 50 == 49:  # by then libraries have all their threads
        del section
        gc.collect()
        heap = mallinfo()
        files = len(list(pathlib.Path("/proc/self/fd").iterdir()))
        in_use = heap.field_4 + heap.field_7
        print(json.dumps({"bytes": in_use, "files": files, "threads": threading.active_count()}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_memory_files_and_threads_stay_as_they_are():
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA")}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, os.environ.get("S2S_RUNS", "150")]
    found = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    first, *others = map(json.loads, found.stdout.splitlines())
    assert others
    for each in others:
        assert each["bytes"] - first["bytes"] < 4e5  # a layer of this section has 16 kB
        assert each["files"] == first["files"]
        assert each["threads"] <= first["threads"] + 3
