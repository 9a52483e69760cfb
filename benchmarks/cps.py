"""The protocol of CPS (tju-zl/CPS, benchmark/3_DLPFC_12_SI.ipynb) on DLPFC 151673, and what it measures.

``python benchmarks/cps.py [--seeds 0] [--methods ...]``. Counts are scaled to 10,000 and log1p; the 3,000 most variable
genes are chosen on ALL spots; half of the spots, at random, are held out. Scores: correlation over all values of all
held-out spots and genes at once ("global"), mean correlation over genes within a spot ("within spots"), RMSE and MAE
over all values, and the mean correlation over spots within a gene ("within genes"), which CPS does not print. Genes
differ from one another more than a gene differs between spots, so the mean of every gene, which knows nothing of space,
is the row to compare with.

Our file holds 7,319 genes (CPS starts from 33,538), so values are scaled to 10,000 of these, and genes are chosen as by
scanpy's flavor "seurat_v3", with a quadratic in place of loess: compare methods within the table, not with the
published row.
"""

import argparse
import time

import numpy as np
import scanpy as sc
from methods import METHODS
from protocol import load_counts, machine
from rivals import RIVALS
from script import print_header, print_row

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse._scores import pearson

SECTION, GENES = "visium_dlpfc_151673", 3000
PUBLISHED = (0.8070, 0.7721, 0.2471, 0.1331)
"""Global, within spots, RMSE, MAE, with its own genes: benchmark/results/DLPFC_SI_151673_metrics.json at 7c86b95."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    offered = [name for name in METHODS if name not in RIVALS]
    shown = ["gene mean", "inverse distance", "kriging", "PCA kriging", "s2s"]
    parser.add_argument("--methods", nargs="+", choices=offered, default=shown)
    parser.add_argument("--preset", default="quick")
    arguments = parser.parse_args()
    print(machine())
    print_header("method | seed | global | within spots | RMSE | MAE | within genes | CPU s")
    print_row("CPS, as published, other genes", "", *PUBLISHED, "", "", digits=".4f")
    for seed in arguments.seeds:
        section = load_counts(SECTION)
        totals = np.asarray(section.X.sum(axis=1), float).ravel()
        chosen = variable_genes(section.X[section.obs["s2s_measured"].to_numpy()].toarray())
        sc.pp.normalize_total(section, target_sum=1e4)
        sc.pp.log1p(section)
        s2s.pp.sparsify(section, fraction=0.5, rng=seed)
        measured, held_out = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
        lattice = read_section(section)[1].lattice
        at = lattice.unit_coordinates / lattice.spot_pitch(measured)
        values, truth = (section.X[rows][:, chosen].toarray() for rows in (measured, held_out))
        for name in arguments.methods:
            options = {"preset": arguments.preset, "seed": seed} if name == "s2s" else {}
            start = time.process_time()
            told = METHODS[name](at[measured], values, at[held_out], None, totals=totals[measured], **options)
            seconds = time.process_time() - start
            mean = np.asarray(told[0] if isinstance(told, tuple) else told, float)
            cells = (
                np.corrcoef(truth.ravel(), mean.ravel())[0, 1],
                np.nanmean(pearson(truth.T, mean.T)),
                np.sqrt(np.square(truth - mean).mean()),
                np.abs(truth - mean).mean(),
                np.nanmean(pearson(truth, mean)),
            )
            print_row(name, seed, *cells, f"{seconds:.0f}", digits=".4f")


def variable_genes(counts: np.ndarray) -> np.ndarray:
    """Return the columns of the genes whose standardised, clipped counts have the largest variance."""
    n, mean, variance = len(counts), counts.mean(axis=0), counts.var(axis=0, ddof=1)
    varies = variance > 0
    x, y = np.log10(mean[varies]), np.log10(variance[varies])
    std = np.ones_like(mean)
    std[varies] = 10 ** (np.polyval(np.polyfit(x, y, 2), x) / 2)
    clipped = np.clip(counts, None, mean + std * np.sqrt(n))
    return np.argsort(-np.square((clipped - mean) / std).sum(axis=0), kind="stable")[:GENES]


if __name__ == "__main__":
    main()
