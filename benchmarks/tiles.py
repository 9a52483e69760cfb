"""What cutting a large section into tiles costs in accuracy, and saves in time, in kriging and PCA kriging.

``python benchmarks/tiles.py [--sections ...] [--fraction 0.5]``. Random spots are measured, more than the 1600 up to
which a section is kriged whole; held-out spots and genes of the protocol. Both ways run in one process, in turn.
"""

import argparse
import time

import numpy as np
from protocol import SECTIONS, load, machine, most_variable

from s2s_scverse._adata import read_section
from s2s_scverse._predict import Kriging, PCAKriging
from s2s_scverse._scores import pearson, rmse

METHODS = {
    "kriging": lambda kriging, values: kriging.predict(values).sites,
    "pca_kriging": lambda kriging, values: PCAKriging(kriging, values).maps(values)[0],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=SECTIONS[:4], choices=SECTIONS)
    parser.add_argument("--fraction", type=float, default=0.5)
    arguments = parser.parse_args()
    print(machine())
    print(
        "| section | spots | method | PCC whole | tiled | RMSE whole | tiled | s whole | tiled |\n" + "|---" * 9 + "|"
    )
    for name in arguments.sections:
        section = load(name, fraction=arguments.fraction)
        genes = section.var_names.get_indexer(most_variable(section))
        lattice, measured = read_section(section)[1].lattice, section.obs["s2s_measured"].to_numpy()
        hidden = section.obs["s2s_held_out"].to_numpy()
        values, truth = (section.X[rows][:, genes].toarray() for rows in (measured, hidden))
        at = lattice.unit_coordinates / lattice.spot_pitch(measured)
        for method, predict in METHODS.items():
            scores = []
            for most in (len(values), 1600):
                start = time.perf_counter()
                found = predict(Kriging(at[measured], at[hidden], max_exact=most, cache_bytes=2**32), values)
                seconds = time.perf_counter() - start
                scores.append((np.nan_to_num(pearson(truth, found)).mean(), rmse(truth, found).mean(), seconds))
            cells = [f"{whole:.4f} | {tiled:.4f}" for whole, tiled in list(zip(*scores, strict=True))[:2]]
            seconds = " | ".join(f"{each[2]:.1f}" for each in scores)
            print(f"| {name} | {len(values)} | {method} | {' | '.join(cells)} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
