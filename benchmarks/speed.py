"""How long a panel and a whole transcriptome take, and in how much memory.

``python benchmarks/speed.py [--threads 2]``. xenium_mouse_brain_ctxhp in 50 um bins, every second bin measured, all 248
genes; and a simulated Visium section: 5,000 spots, 20,000 sites, 18,000 genes. Kriging, gene by gene, ran in the same
call: ratios to it can be compared with those of another machine. Every run has a process of its own.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from processes import Cost, Job, cost
from protocol import load, machine

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers


def panel(method: str) -> Cost:
    section = load("xenium_mouse_brain_ctxhp")
    start = time.perf_counter()
    if method == "s2s":
        s2s.tl.impute(section, progress=False)
    else:
        s2s.tl.interpolate(section, method)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    layers = sum(layer.nbytes for layer in named_layers(section).values()) / 2**30
    return Cost(section.n_obs, int(section.obs["s2s_measured"].sum()), seconds, memory, layers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sections", nargs="+", choices=("panel", "transcriptome"), default=("panel", "transcriptome"))
    parser.add_argument("--methods", nargs="+", default=("kriging", "s2s"), help="the first is what others are over")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.threads} threads for the transcriptome")
    print("| section | method | sites | seconds | over the first | peak GB | layers GB | peak / layers |")
    print("|---" * 8 + "|")
    for name in arguments.sections:
        base = 0.0
        for method in arguments.methods:
            if name == "panel":
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    found = pool.submit(panel, method).result()
            else:
                found = cost(Job(20_000, 18_000, method, threads=arguments.threads))
            base = base or found.seconds
            print(
                f"| {name} | {method} | {found.sites} | {found.seconds:.1f} | {found.seconds / base:.1f} | "
                f"{found.gigabytes:.2f} | {found.layers:.2f} | {found.gigabytes / found.layers:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
