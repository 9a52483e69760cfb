"""Imputes many times in one process. Run by test_load.py.

``python repeated.py TIMES FOLDER`` prints a line of JSON after some of them: bytes in use, open files, threads.
"""

import ctypes
import gc
import json
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import scanpy as sc

import s2s_scverse as s2s
from s2s_scverse import _train


class Allocated(ctypes.Structure):
    """What glibc says of its heap."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def allocated() -> int:
    """Bytes in use; what the process has of the system is more, and grows at first as the heap falls into pieces."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Allocated
    gc.collect()
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


times, folder = int(sys.argv[1]), Path(sys.argv[2])
adata = s2s.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=8, rng=3)
sc.pp.normalize_total(adata, target_sum=600)
sc.pp.log1p(adata)
dense = s2s.pp.grid(adata, upsample=2)
least = replace(
    _train.TRAINING_PRESETS["default"],
    max_epochs=1,
    steps_per_epoch=2,
    masks=1,
    batch_size=2,
    n_images=0,
    start="kriging",
)
for number in range(times):
    section, training, files = dense.copy(), least, {}
    if number % 10 == 0:
        training = replace(least, start="stack", n_images=2)
        files = {"store": folder / "store", "checkpoint": folder / "training"}
    s2s.tl.impute(section, training=training, progress=False, rng=number, **files)
    if files:
        shutil.rmtree(folder / "store")
        (folder / "training").unlink()
    if number % 50 == 49:  # by then all threads that libraries hold ready are there
        del section
        found = {"run": number, "bytes": allocated(), "files": len(list(Path("/proc/self/fd").iterdir()))}
        sys.stdout.write(json.dumps(found | {"threads": threading.active_count()}) + "\n")
