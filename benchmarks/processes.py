"""One imputation of a simulated section in a process of its own, so that its time, threads and memory are its own."""

import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

__all__ = ["Cost", "Job", "cost"]

DEPTH = 8000 / 18_000
"""Expected counts of a spot for each gene: 8000 for a whole transcriptome, as in good Visium sections."""


@dataclass(frozen=True)
class Job:
    """A simulated hexagonal section and what is done to it."""

    n_sites: int
    """About; a quarter of them is measured."""
    n_genes: int
    method: str = "s2s"
    """Or one of `tl.interpolate`."""
    preset: str = "default"
    threads: int = 2
    store: bool = False


@dataclass(frozen=True)
class Cost:
    """What it took."""

    sites: int
    spots: int
    seconds: float
    cpu_seconds: float
    """Of all threads; unlike seconds, they hardly depend on what else runs."""
    gigabytes: float
    """Peak of the process, data and libraries included."""
    layers: float
    """Gigabytes of what was written."""


def cost(job: Job) -> Cost:
    """Run a job in a new process."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(job.threads)))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_run, job).result()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(job: Job) -> Cost:
    import scanpy as sc

    import s2s_scverse as s2s

    # 70 % of an array lies in the tissue, and has four times as many sites as spots.
    rows = max(8, round((job.n_sites / 4 / 0.7) ** 0.5))
    adata = s2s.datasets.simulated_tissue(
        n_rows=rows, n_cols=rows, n_genes=job.n_genes, lattice="hex", depth=DEPTH * job.n_genes
    )
    del adata.layers["truth"]
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata, upsample=2)
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        if job.method == "s2s":
            store = Path(folder) / "layers" if job.store else None
            s2s.tl.impute(dense, preset=job.preset, store=store, progress=False)
        else:
            s2s.tl.interpolate(dense, job.method)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        layers = sum(dense.layers[name].nbytes for name in dense.layers if name is not None) / 2**30
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Cost(dense.n_obs, adata.n_obs, seconds, cpu, memory, layers)
