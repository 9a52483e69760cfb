"""How time and memory grow with genes, sites and threads.

``python benchmarks/growth.py [--threads 1] [--plot docs/images/growth.svg]``. Simulated hexagonal sections, preset
``"fast"`` (training is a fixed cost beyond 256 genes and 3000 spots), every run in a process of its own. CPU seconds
hardly depend on the load of the machine; seconds do. One line ``cost = fixed + slope * size`` is
fitted to each series by least squares of relative errors; the last column is the exponent between its two largest
sizes, after the fixed part: 1 is linear.
"""

import argparse

import numpy as np
from processes import Cost, Job, cost
from protocol import machine

GENES = (250, 1000, 4500, 18_000)
SITES = (2000, 6000, 20_000, 60_000, 200_000)
SMALL_SITES, FEW_GENES = 2000, 250
LABELS = {"cpu_seconds": "CPU time (s)", "gigabytes": "peak memory (GB)"}


def fitted(size: np.ndarray, value: np.ndarray) -> tuple[float, float, float, float]:
    """Fixed part, slope, largest relative error of the line, exponent between the two largest sizes."""
    design = np.column_stack([np.ones_like(size), size]) / value[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(design, np.ones_like(value), rcond=None)
    worst = np.abs((fixed + slope * size) / value - 1).max()
    above = np.maximum(value[-2:] - max(fixed, 0), 1e-9)
    return fixed, slope, worst, float(np.log(above[1] / above[0]) / np.log(size[-1] / size[-2]))


def series(name: str, jobs: list[tuple[float, Job]]) -> tuple[np.ndarray, list[Cost]]:
    found = []
    for size, job in jobs:
        found.append(cost(job))
        each = found[-1]
        print(
            f"| {name} | {size:.0f} | {each.sites} | {job.n_genes} | {job.threads} | {each.seconds:.1f} | "
            f"{each.cpu_seconds:.1f} | {each.gigabytes:.2f} | {each.layers:.2f} |",
            flush=True,
        )
    return np.array([size for size, _ in jobs], float), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot")
    arguments = parser.parse_args()
    more = {"preset": "fast", "threads": arguments.threads}
    print(machine())
    print("| series | size | sites | genes | threads | seconds | CPU s | peak GB | layers GB |\n" + "|---" * 9 + "|")
    found = {
        "genes": series("genes", [(n, Job(SMALL_SITES, n, **more)) for n in GENES]),
        "sites": series("sites", [(n, Job(n, FEW_GENES, **more)) for n in SITES]),
    }
    found["sites"] = np.array([each.sites for each in found["sites"][1]], float), found["sites"][1]
    series("threads", [(n, Job(20_000, FEW_GENES, preset="quick", threads=n)) for n in (1, 2)])
    print("\n| series | cost | fixed | slope | largest error of the line | exponent at the end |\n" + "|---" * 6 + "|")
    for name, (size, costs) in found.items():
        for what in ("cpu_seconds", "gigabytes"):
            value = np.array([getattr(each, what) for each in costs])
            fixed, slope, worst, exponent = fitted(size, value)
            print(f"| {name} | {what} | {fixed:.1f} | {1000 * slope:.3f} per 1000 | {worst:.0%} | {exponent:.2f} |")
    if arguments.plot:
        plot(found, arguments.plot)


def plot(found: dict[str, tuple[np.ndarray, list[Cost]]], path: str) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, axes = plt.subplots(2, 2, figsize=(7, 5), layout="constrained", sharey="row")
    for column, (name, (size, costs)) in enumerate(found.items()):
        for ax, (what, label) in zip(axes[:, column], LABELS.items(), strict=True):
            value = np.array([getattr(each, what) for each in costs])
            fixed, slope, *_ = fitted(size, value)
            line = np.geomspace(size[0], size[-1], 50)
            ax.plot(line, fixed + slope * line, color="0.6", label="fixed + slope x size")
            ax.plot(size, value, "o", color="C0", label="measured")
            ax.set(xscale="log", yscale="log", xlabel=name)
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(ScalarFormatter())
            ax.yaxis.set_minor_formatter(NullFormatter())
            if not column:
                ax.set_ylabel(label)
    axes[0, 0].legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
