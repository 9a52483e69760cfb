"""Moran's I of imputed sections, by squidpy, beside that of the fully measured section.

``python benchmarks/downstream.py [--sections visium_breast_cancer_crop ...] [--seed 0]``. Needs squidpy. Protocol: see
protocol.py. The dense section is the array itself, of which every second spot was measured; neighbours are squidpy's on
its coordinates. Agreement is over the 200 genes: correlation of Moran's I (Pearson, Spearman), mean difference (too
smooth if positive) and mean absolute difference.
"""

import argparse
import warnings

import numpy as np
from protocol import SECTIONS, load, machine, most_variable
from scipy.stats import pearsonr, spearmanr

import s2s_scverse as s2s

METHODS = ("linear", "kriging", "pca_kriging")
HEX = [name for name in SECTIONS if name.startswith("visium")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=HEX, choices=SECTIONS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of squidpy's import, about other packages
    import squidpy as sq

    print(machine())
    print(
        "| section | neighbours: median, full share | method | Pearson | Spearman | mean difference | mean absolute |"
    )
    print("|" + "---|" * 7, flush=True)
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        for method in METHODS:
            s2s.tl.interpolate(section, method, genes=genes)
        s2s.tl.impute(section, genes, rng=arguments.seed, progress=False)
        section = section[:, genes].copy()
        # Holes inside the tissue have no true value: the comparison is over spots of the array.
        section = section[section.obs["s2s_measured"] | section.obs["s2s_held_out"]].copy()
        sq.gr.spatial_neighbors_grid(section, n_neighs=6 if name in HEX else 4)
        degree = np.diff(section.obsp["spatial_connectivities"].indptr)
        found = {key: moran(sq, section, None if key == "truth" else key) for key in ("truth", *METHODS, "s2s")}
        for key in (*METHODS, "s2s"):
            difference = found[key] - found["truth"]
            cells = (
                pearsonr(found[key], found["truth"]).statistic,
                spearmanr(found[key], found["truth"]).statistic,
                difference.mean(),
                np.abs(difference).mean(),
            )
            neighbours = f"{np.median(degree):.0f}, {np.mean(degree == degree.max()):.2f}"
            print(
                f"| {name} | {neighbours} | {key} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |", flush=True
            )


def moran(sq, section, layer):
    sq.gr.spatial_autocorr(section, layer=layer, mode="moran", n_jobs=1, show_progress_bar=False)
    return section.uns["moranI"]["I"].loc[section.var_names].to_numpy()


if __name__ == "__main__":
    main()
