"""Classical answers and s2s on real sections; every run in a process of its own, so that its memory is its own.

``python benchmarks/holdout.py [--sections ...] [--methods linear kriging s2s ...] [--seeds 0 1 2] [--preset default]
[--all-genes]``. Protocol: see protocol.py. Genes beyond the 200 that are scored are imputed only with ``--all-genes``.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from protocol import SECTIONS, Result, load, machine, most_variable, score

import s2s_scverse as s2s

METHODS = ("nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging", "s2s")


def run(name: str, method: str, seed: int, preset: str, fraction: float | None, all_genes: bool) -> Result:
    section = load(name, fraction=fraction)
    genes = most_variable(section)
    asked = None if all_genes else genes

    def impute() -> None:
        if method == "s2s":
            s2s.tl.impute(section, asked, preset=preset, rng=seed, progress=False)
        else:
            s2s.tl.interpolate(section, method, genes=asked)

    return score(section, method, genes, impute)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--fraction", type=float, help="measure this random fraction instead of every second spot")
    parser.add_argument("--all-genes", action="store_true")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    print("| section | method | seed | PCC | RMSE | MAE | seconds | peak GB |\n" + "|---" * 8 + "|", flush=True)
    for name in arguments.sections:
        for method in arguments.methods:
            for seed in arguments.seeds if method == "s2s" else [0]:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    found = pool.submit(
                        run, name, method, seed, arguments.preset, arguments.fraction, arguments.all_genes
                    ).result()
                scores = f"{found.pcc:.4f} | {found.rmse:.4f} | {found.mae:.4f}"
                cost = f"{found.seconds:.1f} | {found.gigabytes:.2f}"
                print(f"| {name} | {method} | {seed} | {scores} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
