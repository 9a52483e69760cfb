"""Imputes a lazy section under a limit of memory. Run by test_memory.py.

``python limited.py SECTION STORE LIMIT``: the store is ``none`` for layers in memory; the limit is in bytes beyond what
is taken once everything is imported, 0 for none. Prints how much was taken beyond that at most.
"""

import resource
import sys
from dataclasses import replace
from pathlib import Path

import anndata as ad
import dask
import zarr

import s2s_scverse as s2s
from s2s_scverse import _train


def kilobytes(name: str) -> int:
    """A line of the process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


section, store, limit = sys.argv[1:]
training = replace(
    _train.TRAINING_PRESETS["fast"],
    start="kriging",
    max_epochs=1,
    steps_per_epoch=2,
    patterns=1,
    n_images=0,
    max_genes=32,
)
adata = ad.experimental.read_lazy(section)
start = kilobytes("VmRSS")
if int(limit):
    most = 1024 * kilobytes("VmData") + int(limit)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
# Threads have stacks of their own.
zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
with dask.config.set(scheduler="synchronous"):
    s2s.tl.impute(adata, training=training, progress=False, store=None if store == "none" else store)
sys.stdout.write(f"{1024 * (kilobytes('VmHWM') - start)}\n")
