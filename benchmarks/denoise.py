"""Denoised values of measured spots, judged by binomial thinning.

``python benchmarks/denoise.py [--sections ...] [--seed 0]``. Every molecule of a section is dealt to one of two halves
at random. One half is denoised (``tl.impute(denoise=True)``; the network, which has no part in it, is not trained); the
other half, whose noise is its own, is the truth. Scored: the first half as it is, and denoised, over the measured spots
(every second one along both axes) and the genes of the protocol.
"""

import numpy as np
from protocol import load_counts, log_normalised, machine, most_variable
from script import parser, print_header, print_row

import s2s_scverse as s2s
from s2s_scverse._scores import pearson, rmse


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    print(machine())
    print_header("section | PCC measured | denoised | RMSE measured | denoised")
    for name in arguments.sections:
        section = load_counts(name)
        s2s.pp.sparsify(section)
        first = section.X.tocsr().copy()
        first.data = np.random.default_rng(arguments.seed).binomial(first.data.astype(np.int64), 0.5).astype(np.float32)
        second = (section.X - first).tocsr()
        measured = section.obs["s2s_measured"].to_numpy()
        section.X, other = log_normalised(first, measured), log_normalised(second, measured)
        genes = most_variable(section)
        s2s.tl.impute(section, genes, preset="quick", denoise=True, progress=False)
        columns = section.var_names.get_indexer(genes)
        # Spots of which one half is empty have no value.
        rows = measured & (first.sum(axis=1).A1 > 0) & (second.sum(axis=1).A1 > 0)
        truth = other[rows][:, columns].toarray()
        found = section.X[rows][:, columns].toarray(), section.layers["s2s"][rows][:, columns]
        scores = [np.nanmean(score(truth, each)) for score in (pearson, rmse) for each in found]
        print_row(name, *scores, digits=".4f")


if __name__ == "__main__":
    main()
