"""What imputing costs, beside what `s2s info` and the log say it will cost.

``python benchmarks/estimate.py [--sections ...] [--presets default fast]``. Up to 1,000 genes of each real section, see
protocol.py; every run has a process of its own. Nothing else should run meanwhile.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from protocol import SECTIONS, load, machine

import s2s_scverse as s2s
from s2s_scverse.nn import PRESETS
from s2s_scverse.tl._estimate import Size, estimate


def run(name: str, preset: str) -> str:
    section = load(name)
    genes = section.var_names[:1000].tolist()
    size = Size(int(section.obs["s2s_measured"].sum()), section.n_obs)
    expected = estimate([size], len(genes), PRESETS[preset], s2s.tl.TRAINING_PRESETS[preset], errors=True)
    start = time.perf_counter()
    s2s.tl.impute(section, genes, preset=preset, progress=False)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = f"| {name} | {preset} | {size.spots} | {size.sites} | {len(genes)} | {seconds:.1f} | {expected.seconds:.1f} |"
    return f"{row} {expected.seconds / seconds:.2f} | {memory:.2f} | {expected.gigabytes:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--presets", nargs="+", choices=("default", "fast"), default=["default"])
    arguments = parser.parse_args()
    print(machine())
    print("| section | preset | spots | sites | genes | seconds | expected | ratio | peak GB | expected |")
    print("|---" * 10 + "|")
    for name in arguments.sections:
        for preset in arguments.presets:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                print(pool.submit(run, name, preset).result(), flush=True)


if __name__ == "__main__":
    main()
