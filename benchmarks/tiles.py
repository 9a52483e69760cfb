"""What cutting a large section into tiles costs in accuracy, and saves in time, in kriging and PCA kriging.

``python benchmarks/tiles.py [--sections ...] [--fraction 0.5]``. Random spots are measured, more than the 1600 up to
which a section is kriged whole; held-out spots and genes of the protocol. Both ways run in one process, in turn.
"""

import time

import numpy as np
from protocol import SECTIONS, load, machine, most_variable
from script import parser, print_header, print_row

from s2s_scverse._adata import read_section
from s2s_scverse._predict import Kriging, PCAKriging
from s2s_scverse._scores import pearson, rmse

METHODS = {
    "kriging": lambda kriging, values: kriging.predict(values).sites,
    "pca_kriging": lambda kriging, values: PCAKriging(kriging, values).maps(values)[0],
}


def main() -> None:
    options = parser(__doc__, SECTIONS, SECTIONS[:4])
    options.add_argument("--fraction", type=float, default=0.5)
    arguments = options.parse_args()
    print(machine())
    print_header("section | spots | method | PCC whole | tiled | RMSE whole | tiled | s whole | tiled")
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
            pcc, error, seconds = zip(*scores, strict=True)
            print_row(name, len(values), method, *pcc, *error, *(f"{each:.1f}" for each in seconds), digits=".4f")


if __name__ == "__main__":
    main()
