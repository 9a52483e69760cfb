"""How long imputation takes, and in how much memory; two versions of the package side by side.

``python benchmarks/speed.py [--before FOLDER] [--jobs panel st ...] [--threads 2]``. Every run has its own process;
with ``--before``, a checkout of another version runs each job directly before this one. Jobs:

* panel: xenium_mouse_brain_ctxhp in 50 um bins, all 248 genes; presets default and quick, and kriging of every gene;
* visium: visium_mouse_brain_coronal, 200 genes, presets default and quick;
* st: st_mouse_olfactory_bulb_rep11, all genes, presets default and quick;
* transcriptome: a simulated Visium section, 5,000 spots, 20,000 sites, 18,000 genes; presets default and quick;
* import: importing the package, and anndata alone.

Of real sections every second spot is measured.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from protocol import machine

JOBS = ("import", "st", "visium", "panel", "transcriptome")
RUNS = {
    "panel": ("xenium_mouse_brain_ctxhp", ("default", "quick", "kriging")),
    "visium": ("visium_mouse_brain_coronal", ("default", "quick")),
    "st": ("st_mouse_olfactory_bulb_rep11", ("default", "quick")),
    "transcriptome": ("", ("default", "quick")),
}
SECTION = """
import json, resource, sys, time
from protocol import load, most_variable
import s2s_scverse as s2s
name, how = sys.argv[1:]
section = load(name)
genes = most_variable(section) if name.startswith("visium") else None
start = time.perf_counter()
if how == "kriging":
    s2s.tl.interpolate(section, "kriging")
else:
    s2s.tl.impute(section, genes, preset=how, progress=False)
seconds = time.perf_counter() - start
layers = sum(section.layers[name].nbytes for name in section.layers if name is not None) / 2**30
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
spots, genes = int(section.obs["s2s_measured"].sum()), len(genes or section.var_names)
print(json.dumps([spots, section.n_obs, genes, seconds, memory, layers]))
"""
SIMULATED = """
import json, os, sys
from growth import Job, cost
found = cost(Job(20_000, 18_000, preset=sys.argv[1], threads=int(os.environ["OMP_NUM_THREADS"])))
print(json.dumps([found.spots, found.sites, 18_000, found.seconds, found.gigabytes, found.layers]))
"""
IMPORT = """
import json, resource, sys, time
start = time.perf_counter()
__import__(sys.argv[1])
seconds = time.perf_counter() - start
print(json.dumps([0, 0, 0, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 0]))
"""


def measure(code: str, *arguments: str, version: Path, threads: int) -> list[float]:
    """Spots, sites, genes, seconds, peak memory and size of the layers in GB, of a job in a new process."""
    here = Path(__file__).parent
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    environment = os.environ | counts | {"PYTHONPATH": f"{version}{os.pathsep}{here}", "PYTHONWARNINGS": "ignore"}
    found = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, *arguments], env=environment, cwd=here, capture_output=True, text=True, check=False
    )
    if found.returncode:
        sys.exit(found.stderr)
    return list(json.loads(found.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="root of a checkout of another version")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    versions = [path.resolve() for path in (arguments.before, Path(__file__).parent.parent) if path is not None]
    print(f"{machine()}; {arguments.threads} threads")
    columns = ["section", "preset", "spots", "sites", "genes", "seconds", "peak GB", "layers GB", "peak / layers"]
    columns[6:6] = ["seconds before", "before / now"] if len(versions) > 1 else []
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for job in arguments.jobs:
        name, presets = RUNS.get(job, ("", ("s2s_scverse", "anndata")))
        code = {"import": IMPORT, "transcriptome": SIMULATED}.get(job, SECTION)
        for how in presets:
            given = {"import": (how,), "transcriptome": (how,)}.get(job, (name, how))
            runs = [measure(code, *given, version=version, threads=arguments.threads) for version in versions]
            *sizes, seconds, memory, layers = runs[-1]
            cells = [job, how, *(f"{size:,.0f}" for size in sizes)]
            cells += [f"{seconds:.1f}", f"{memory:.2f}", f"{layers:.2f}"]
            cells.append(f"{memory / layers:.2f}" if layers else "")
            if len(runs) > 1:
                cells[6:6] = [f"{runs[0][3]:.1f}", f"{runs[0][3] / seconds:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
