"""Memory with layers in memory and with layers in a folder.

``python benchmarks/memory.py [--sites 6000] [--genes 1000 4000 16000]``. A simulated section, preset ``"fast"``, one
thread, every run in a process of its own. The simulated counts are in memory in all runs; what the layers take is not.
"""

import argparse

from processes import Job, cost
from protocol import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=6000)
    parser.add_argument("--genes", type=int, nargs="+", default=(1000, 4000, 16_000))
    arguments = parser.parse_args()
    print(machine())
    print("| genes | layers GB | peak GB, in memory | peak GB, store= | seconds, in memory | store= | ratio |")
    print("|---" * 7 + "|")
    for n_genes in arguments.genes:
        inside, outside = (
            cost(Job(arguments.sites, n_genes, preset="quick", threads=1, store=store)) for store in (False, True)
        )
        print(
            f"| {n_genes} | {inside.layers:.2f} | {inside.gigabytes:.2f} | {outside.gigabytes:.2f} | "
            f"{inside.seconds:.1f} | {outside.seconds:.1f} | {outside.seconds / inside.seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
