"""The reference benchmark: methods on sections, one table.

``python benchmarks/run.py --quick`` runs the methods of this package on three small test sections, in a minute;
``--all`` runs every method on every section, hours; ``--sections``, ``--methods``, ``--masks``, ``--preset`` and
``--seeds`` select. Rows are added to ``benchmarks/results/scores.csv`` as they are found, and rows that are there are
not computed again. ``benchmarks/report.py`` makes the tables of docs/benchmarks.md and its chart from them.

Every method gets the same arrays (`protocol.Task`) and runs in a process of its own: CPU seconds and seconds are those
of fitting and predicting, GB those of the whole process. Scores of every gene go to ``results/genes.csv``, which is not
committed.
"""

import argparse
import csv
import multiprocessing
import os
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from methods import GUIDED, METHODS
from metrics import scores
from protocol import ALL_SECTIONS, MASKS, REPEATS, TEST, TUNING, Task, check_files, machine, make_task
from rivals import LIMIT, RIVALS, NotFinishedError

RESULTS = Path(__file__).with_name("results")
QUICK = ("st_breast_layer1", "st_her2_breast_C4_he", "st2k_mouse_olfactory_bulb_MOB1_he")
KEYS = ("section", "mask", "method", "preset", "seed")
PER_GENE = ("pcc", "rmse", "ceiling", "crps", "coverage", "moran", "moran_bias")
SUMMARY = (*KEYS, "date", "spots", "sites", "genes", *PER_GENE, "cpu_seconds", "seconds", "gigabytes")


def main() -> None:
    names = {"sections": ALL_SECTIONS, "methods": METHODS, "masks": MASKS}
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n\n".join(f"{what}: {'; '.join(each)}" for what, each in names.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="three small sections, not saved unless with --results")
    which.add_argument("--all", action="store_true", help="every method on every section")
    which.add_argument(
        "--sections", nargs="+", choices=ALL_SECTIONS, default=TEST, metavar="NAME", help="default: the test sections"
    )
    ours = [name for name in METHODS if name not in RIVALS]
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=ours, metavar="NAME", help="default: all but other packages"
    )
    parser.add_argument(
        "--masks", nargs="+", choices=MASKS, default=["stride 2"], metavar="NAME", help="default: stride 2"
    )
    parser.add_argument("--preset", default="quick", help="of tl.impute")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of tl.impute")
    parser.add_argument("--results", type=Path, help="folder; default: benchmarks/results")
    arguments = parser.parse_args()
    sections = QUICK if arguments.quick else (*TEST, *REPEATS, *TUNING) if arguments.all else arguments.sections
    methods = tuple(METHODS) if arguments.all else arguments.methods
    with tempfile.TemporaryDirectory() as unsaved:
        folder = arguments.results or Path(unsaved if arguments.quick else RESULTS)
        run(sections, methods, arguments.masks, arguments.preset, arguments.seeds, folder)


def run(
    sections: Iterable[str], methods: Iterable[str], masks: list[str], preset: str, seeds: list[int], folder: Path
) -> None:
    """Append the scores of what is not in the folder yet, and print them."""
    check_files(list(sections))
    print(machine(), flush=True)
    warm_up([method for method in METHODS if method in methods and method not in (*RIVALS, *GUIDED)] or ["s2s"])
    done = {tuple(row[key] for key in KEYS) for row in read(folder / "scores.csv")}
    for section, mask in product(sections, masks):
        task = None
        for method, seed in product(methods, seeds):
            ours = method.startswith("s2s")  # others have neither preset nor seed
            key = (section, mask, method, preset if ours else "", str(seed) if ours else "")
            if key in done:
                continue
            done.add(key)
            task = make_task(section, mask, image=bool(set(methods) & set(GUIDED))) if task is None else task
            if method in GUIDED and task.covariates is None:
                continue
            found = in_child(task, *key[2:])
            if isinstance(found, str):
                print(f"{section}, {mask}, {method}: {found}", flush=True)
                continue
            print(f"{section}, {mask}, {method} {key[3]}: {keep(folder, key, task, *found)}", flush=True)


def keep(folder: Path, key: tuple[str, ...], task: Task, every: dict[str, np.ndarray], cost: dict[str, float]) -> str:
    """Append the scores to the tables, and tell them."""
    told = dict(zip(KEYS, key, strict=True))
    every["ceiling"] = task.ceiling
    means = {name: float(np.nanmean(value)) if np.isfinite(value).any() else "" for name, value in every.items()}
    sizes = {"spots": len(task.spots), "sites": len(task.sites), "genes": len(task.genes)}
    append(folder / "scores.csv", SUMMARY, [told | {"date": date.today().isoformat()} | sizes | means | cost])
    if means["pcc"] == "":
        return f"not finished in {LIMIT} CPU s"
    genes = [told | {"gene": gene} | {name: every[name][k] for name in PER_GENE} for k, gene in enumerate(task.genes)]
    append(folder / "genes.csv", (*KEYS, "gene", *PER_GENE), genes)
    return f"PCC {means['pcc']:.4f}, RMSE {means['rmse']:.4f}, {cost['cpu_seconds']:.1f} CPU s"


def warm_up(methods: list[str]) -> None:
    """Run methods on a small section, so that no import is part of the cost of a real one."""
    at = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2) / 2
    seen = (at % 1 == 0).all(axis=1)
    values = np.random.default_rng(0).gamma(2, size=(int(seen.sum()), 6)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in methods:
            options = {"preset": "quick"} if method == "s2s" else {}
            METHODS[method](at[seen], values, at[~seen], None, totals=np.full(len(values), 100.0), **options)


def in_child(task: Task, method: str, preset: str, seed: str) -> tuple[dict[str, np.ndarray], dict[str, float]] | str:
    """Run a method in a new process; the text of its error if it fails."""
    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=answer, args=(there, task, method, preset, seed))
    child.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        found = "died"
    child.join()
    return found


def answer(pipe: Any, task: Task, method: str, preset: str, seed: str) -> None:
    run = METHODS[method]
    if seed:
        run = partial(run, preset=preset, seed=int(seed))
    start, cpu = time.perf_counter(), time.process_time()
    try:
        told = run(task.spots, task.values, task.sites, task.covariates, totals=task.totals)
    except NotFinishedError:
        missing = np.full(len(task.genes), np.nan)
        pipe.send((dict.fromkeys(PER_GENE, missing), {"cpu_seconds": LIMIT, "seconds": "", "gigabytes": ""}))
        return
    except Exception:  # noqa: BLE001 - a method that fails must not end the benchmark
        pipe.send(traceback.format_exc(limit=-2))
        return
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    cost = {"cpu_seconds": cpu, "seconds": seconds}
    cost["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    mean, std, *own = told if isinstance(told, tuple) else (told, None)
    cost = own[0] if own else cost
    cost = {name: round(value, 3) for name, value in cost.items()}
    pipe.send((scores(task.truth, mean, std, task.values, task.pairs), cost))


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(
            {name: f"{value:.5g}" if isinstance(value, float | np.floating) else value for name, value in row.items()}
            for row in rows
        )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
