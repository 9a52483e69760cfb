"""How time and memory grow with genes, sites and threads, for this package and for kriging by others.

``python benchmarks/growth.py [--series genes sites threads store] [--methods s2s kriging ...] [--most 200000]``.
Simulated hexagonal sections, a quarter of the sites measured; every run in a process of its own. Rows are added to
``results/growth.csv``, and rows that are there are not computed again; ``report.py`` fits exponents and draws them. CPU
seconds hardly depend on the load of the machine; seconds do. Memory is the peak of the process, data and libraries
included. ``store`` compares layers in a folder with layers in memory.
"""

import argparse
import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

from protocol import machine
from rivals import RIVALS, NotFinishedError, run_rival
from run import RESULTS, append, read

DEPTH = 8000 / 18_000  # expected counts of a spot for each gene: those of a whole transcriptome in good Visium sections
GENES, SITES = (250, 1000, 4500, 18_000), (2000, 6000, 20_000, 60_000, 200_000)
FEW_GENES, SMALL_SITES = 250, 2000
BY_GENE = ("GSTools kriging",)  # methods that take genes one by one, which are run on a tenth of the genes


@dataclass(frozen=True)
class Job:
    """A simulated hexagonal section and what is done to it."""

    n_sites: int  # about; a quarter of them is measured
    n_genes: int
    method: str = "s2s"  # or one of `tl.interpolate` or of other packages
    preset: str = "default"
    threads: int = 2
    store: bool = False


@dataclass(frozen=True)
class Cost:
    """What it took."""

    sites: int
    spots: int
    seconds: float
    cpu_seconds: float  # of all threads
    gigabytes: float  # peak of the process
    layers: float  # gigabytes of what was written


def cost(job: Job) -> Cost:
    """Run a job in a new process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(job.threads))
    with patch.dict(os.environ, threads), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, job).result()


def _run(job: Job) -> Cost:
    import numpy as np
    import scanpy as sc

    import s2s_scverse as s2s
    from s2s_scverse._adata import read_section

    # 70 % of an array lies in the tissue, and has four times as many sites as spots.
    rows = max(8, round((job.n_sites / 4 / 0.7) ** 0.5))
    adata = s2s.datasets.simulated_tissue(
        n_rows=rows, n_cols=rows, n_genes=job.n_genes, lattice="hex", depth=DEPTH * job.n_genes
    )
    del adata.layers["truth"]
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata, upsample=2)
    if job.method in RIVALS:
        measured, lattice = dense.obs["s2s_measured"].to_numpy(), read_section(dense)[1].lattice
        at = lattice.unit_coordinates / lattice.spot_pitch(measured)
        values = np.asarray(dense.X[measured].toarray(), float)
        told = run_rival(job.method, at[measured], values, at[~measured], None, totals=np.ones(len(values)))[2]
        return Cost(dense.n_obs, adata.n_obs, told["seconds"], told["cpu_seconds"], told["gigabytes"], 0)
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


def jobs(series: str, method: str, preset: str, most: int) -> list[Job]:
    """Return the runs of a series, small ones first."""
    more = {"method": method, "preset": preset if method == "s2s" else "", "threads": 1}
    share = 10 if method in BY_GENE else 1
    return {
        "genes": [Job(SMALL_SITES, n // share, **more) for n in GENES],
        "sites": [Job(n, FEW_GENES // share, **more) for n in SITES if n <= most],
        "threads": [Job(20_000, FEW_GENES // share, **more | {"threads": n}) for n in (1, 2)],
        "store": [Job(6000, n, **more, store=store) for n in (1000, 16_000) for store in (False, True)],
    }[series]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--series", nargs="+", choices=("genes", "sites", "threads", "store"), default=("genes", "sites")
    )
    offered = ("s2s", "kriging", "pca_kriging", *(name for name, rival in RIVALS.items() if not rival.guided))
    parser.add_argument("--methods", nargs="+", choices=offered, default=("s2s", "kriging", "pca_kriging"))
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--most", type=int, default=SITES[-1], help="sites")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    print(machine())
    path = arguments.results / "growth.csv"
    columns = ("series", *Job.__dataclass_fields__, *Cost.__dataclass_fields__)
    keys = ("series", *Job.__dataclass_fields__)
    done = {tuple(row[key] for key in keys) for row in read(path)}
    for series in arguments.series:
        for method in arguments.methods:
            for job in jobs(series, method, arguments.preset, arguments.most):
                row = {"series": series, **asdict(job)}
                if tuple(str(row[key]) for key in keys) in done:
                    continue
                try:
                    found = asdict(cost(job))
                except NotFinishedError:
                    append(path, columns, [row])
                    print(row, "not finished", flush=True)
                    break
                append(path, columns, [row | found])
                print(row | found, flush=True)


if __name__ == "__main__":
    main()
