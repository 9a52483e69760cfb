"""Calibration of standard deviations, intervals and reliabilities: s2s on every section and seed.

``python benchmarks/calibration.py [--sections ...] [--seeds 0] [--fraction 0.8] [--genes 200] [--preset default]``.
Protocol: see protocol.py; every section in a process of its own. Columns:

* coverage: fraction of held-out values inside the 90 % intervals, and fraction of genes with at least 84 %;
* width: mean width of the intervals, over that of intervals around PCA kriging with the same coverage, whose gene-wise
  widths are fitted to the errors at held-out spots;
* reliability: mean expected minus mean observed PCC, fraction of genes off by more than .15, and Spearman's correlation
  of the two over genes.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from protocol import load, machine, most_variable, score
from scipy.stats import spearmanr
from script import parser, print_header, print_row

import s2s_scverse as s2s

COLUMNS = {
    "measured": ",.0f", "genes": ",.0f", "coverage": ".3f", "genes >= .84": ".1%", "width": ".3f",
    "mean difference": "+.3f", "off by > .15": ".1%", "Spearman": ".3f", "shrinkage factor": ".2f", "peak GB": ".2f",
}  # fmt: skip


def rows(
    name: str, seeds: list[int], fraction: float | None, preset: str, n_genes: int = 200
) -> list[dict[str, float]]:
    """Return numbers of every seed: those of the table, and gains over PCA kriging without depth."""
    section = load(name, fraction=fraction)
    genes = most_variable(section, n_genes)
    options = {"genes": genes, "total_counts": None}
    base = score(section, "pca_kriging", genes, lambda: s2s.tl.interpolate(section, "pca_kriging", **options))
    columns = section.var_names.get_indexer(genes)
    hidden = section.obs["s2s_held_out"].to_numpy()
    truth = section[hidden, genes].X.toarray()
    found = []
    for seed in seeds:
        keywords = {"preset": preset, "rng": seed, "progress": False}
        result = score(section, "s2s", genes, lambda: s2s.tl.impute(section, genes, **keywords))  # noqa: B023
        observed = s2s.get.evaluation_df(section)["pcc"].fillna(0).to_numpy()
        expected = section.var["s2s_reliability"].to_numpy()[columns]
        lower, upper = (end[hidden] for end in s2s.get.interval(section, 0.9, genes=genes))
        inside = (truth >= lower) & (truth <= upper)
        middle = np.maximum(section.layers["pca_kriging"][hidden][:, columns], 0)
        error = np.abs(truth - middle)
        ruler = np.sqrt(np.square(error).mean(axis=0))
        half = ruler * np.quantile(error / ruler, inside.mean())
        found.append(
            {
                "gain in PCC": result.pcc / base.pcc - 1,
                "gain in RMSE": result.rmse - base.rmse,
                "gain in MAE": result.mae - base.mae,
                "measured": section.obs["s2s_measured"].sum(),
                "genes": len(genes),
                "coverage": inside.mean(),
                "genes >= .84": (inside.mean(axis=0) >= 0.84).mean(),
                "width": (upper - lower).mean() / (middle + half - np.maximum(middle - half, 0)).mean(),
                "mean difference": expected.mean() - observed.mean(),
                "off by > .15": (np.abs(expected - observed) > 0.15).mean(),
                "Spearman": spearmanr(expected, observed).statistic,
                "shrinkage factor": section.uns["s2s"]["s2s"]["shrinkage"],
                "peak GB": result.gigabytes,
            }
        )
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", nargs="+", type=int, default=[0])
    options.add_argument("--fraction", type=float, help="measure this random fraction instead of every second spot")
    options.add_argument("--genes", type=int, default=200)
    options.add_argument("--preset", default="default")
    arguments = options.parse_args()
    print(f"{machine()}; preset {arguments.preset}, measured: {arguments.fraction or 'every second spot'}")
    print_header(" | ".join(["section", *COLUMNS]))
    for name in arguments.sections:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            task = pool.submit(rows, name, arguments.seeds, arguments.fraction, arguments.preset, arguments.genes)
            for row in task.result():
                print_row(name, *(format(row[column], digits) for column, digits in COLUMNS.items()))


if __name__ == "__main__":
    main()
