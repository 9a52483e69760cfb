"""Parts of a section that were lost whole: what is predicted far from all spots.

``python benchmarks/extrapolation.py [--sections ...]``. Of each section, all spots are measured but those of a corner,
of a hole, of an outer strip or of a strip across; these are predicted (no limit to the distance) by kriging, PCA
kriging and the initial estimate of s2s. Genes as in the other benchmarks.
"""

import argparse
import warnings

import anndata as ad
import numpy as np
from protocol import SECTIONS, load_counts, log_normalised, machine, most_variable

import s2s_scverse as s2s

PATTERNS = {
    "corner 0": lambda x, y: (x > 0.3) | (y > 0.3),
    "corner 1": lambda x, y: (x < 0.7) | (y > 0.3),
    "corner 2": lambda x, y: (x > 0.3) | (y < 0.7),
    "corner 3": lambda x, y: (x < 0.7) | (y < 0.7),
    "hole": lambda x, y: np.hypot(x - 0.5, y - 0.5) > 0.18,
    "outer strip": lambda x, _: x > 0.15,
    "strip across": lambda _, y: abs(y - 0.5) > 0.1,
}
METHODS = ("kriging", "pca_kriging", "s2s")


def lost(section: ad.AnnData, pattern: str) -> ad.AnnData:
    """The section with a part held out; positions are ranks along its axes, from 0 to 1."""
    adata = section.copy()
    x, y = (adata.obs[key].rank(pct=True).to_numpy() for key in ("array_row", "array_col"))
    s2s.pp.sparsify(adata, keep=PATTERNS[pattern](x, y))
    adata.X = log_normalised(adata.X, adata.obs["s2s_measured"].to_numpy())
    return adata


def scores(adata: ad.AnnData) -> np.ndarray:
    """(n_methods, 2): PCC and RMSE, means over the genes."""
    genes = most_variable(adata)
    for method in METHODS[:2]:
        s2s.tl.interpolate(adata, method, genes=genes, max_distance=None)
    s2s.tl.impute(adata, genes, preset="quick", max_distance=None, uncertainty=False, progress=False)
    s2s.tl.evaluate(adata, METHODS, genes=genes, n_bootstrap=1)
    means = s2s.get.evaluation_df(adata).groupby("method", observed=True)[["pcc", "rmse"]].mean()
    return means.loc[list(METHODS)].to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=SECTIONS[6:], choices=SECTIONS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "no image")
    print(machine())
    print("| section | lost spots | PCC: kriging | PCA kriging | s2s | RMSE: kriging | PCA kriging | s2s |")
    print("|---|---|---|---|---|---|---|---|")
    every = []
    for name in arguments.sections:
        section = load_counts(name)
        section = section[section.obs["s2s_measured"]].copy()
        found, counts = [], []
        for pattern in PATTERNS:
            adata = lost(section, pattern)
            hidden = int(adata.obs["s2s_held_out"].sum())
            if hidden >= 10:
                found.append(scores(adata))
                counts.append(hidden)
        every += found
        cells = np.mean(found, axis=0).T.ravel()
        numbers = " | ".join(f"{cell:.4f}" for cell in cells)
        print(f"| {name}, {len(found)} parts | {min(counts)} to {max(counts)} | {numbers} |", flush=True)
    cells = np.mean(every, axis=0).T.ravel()
    print(f"| mean of {len(every)} | | {' | '.join(f'{cell:.4f}' for cell in cells)} |")
    for other in (0, 1):
        better = np.array(every)[:, 2] - np.array(every)[:, other]
        print(
            f"s2s is better than {METHODS[other]} in PCC at {(better[:, 0] > 0).sum()} of {len(every)}, in RMSE at "
            f"{(better[:, 1] < 0).sum()}"
        )


if __name__ == "__main__":
    main()
