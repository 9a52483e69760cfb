"""Expected against observed correlation at single sites, in windows and in regions.

``python benchmarks/reliability_by_scale.py [--sections ...] [--scales 1 2 4] [--preset quick] [--seed 0]``. Protocol:
see protocol.py. Expected: `get.reliability_df`. Observed: correlation of imputed with held-out values, both averaged
over the held-out spots of the same windows. Means over the 200 genes, mean difference, Spearman correlation of the two
over genes, and the fraction of genes at .5 or above, expected and observed.
"""

import warnings

import numpy as np
from protocol import load, machine, most_variable
from scipy.stats import spearmanr
from script import parser, print_header, print_row

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse._scores import pearson
from s2s_scverse.get._reliability import window_averages

RELIABLE = 0.5


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--scales", type=int, nargs="+", default=[1, 2, 4])
    options.add_argument("--preset", default="quick")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    print_header(
        "section | scale | windows | expected | observed | difference | Spearman | reliable: expected | observed"
    )
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        s2s.tl.impute(section, genes, preset=arguments.preset, rng=arguments.seed, progress=False)
        expected = s2s.get.reliability_df(section, genes=genes, scales=arguments.scales, rng=arguments.seed)
        held_out = section.obs["s2s_held_out"].to_numpy()
        truth, mean = section[held_out, genes].X.toarray(), np.asarray(section[held_out, genes].layers["s2s"])
        averages = window_averages(read_section(section)[1].lattice.index[held_out], arguments.scales)
        for scale, average in zip(arguments.scales, averages, strict=True):
            pairs = np.stack([expected[scale], pearson(average @ truth, average @ mean)])
            found, observed = pairs[:, np.isfinite(pairs).all(axis=0)]
            agreement = spearmanr(found, observed).statistic
            reliable = ((each >= RELIABLE).mean() for each in (found, observed))
            means = found.mean(), observed.mean(), (found - observed).mean()
            print_row(name, scale, average.shape[0], *means, agreement, *reliable)


if __name__ == "__main__":
    main()
