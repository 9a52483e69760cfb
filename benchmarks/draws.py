"""Statistics on conditional draws and on the mean map, against the fully measured section.

``python benchmarks/draws.py [--sections ...] [--n 20] [--preset default] [--seed 0]``. Protocol: see protocol.py.
Moran's I of the 200 genes, over measured and held-out spots, neighbours on the lattice: mean error of the map and of
draws, mean absolute error, Spearman correlation with the truth, coverage of 90 % intervals of `tl.propagate`. Held-out
spots: coverage of 90 % intervals from draws, and CRPS beside that of a normal distribution with the layer's standard
deviation. Means of held-out spots over windows of 4 x 4 sites: coverage of 90 % intervals, and with independent errors
of the layer's standard deviation instead. CPU seconds of reading, fitting and drawing.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from protocol import SECTIONS, load, machine, most_variable
from scipy.spatial import cKDTree
from scipy.stats import norm, spearmanr
from scipy.stats import t as student

import s2s_scverse as s2s
from s2s_scverse._adata import read_section

LEVEL = 0.9
FEWEST = 6  # held-out spots in a window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    print(
        "| section | spots | Moran's I | bias of map | of draws | MAE of map | of draws | Spearman of map | of draws "
        "| coverage | sites | CRPS | normal | windows | independent | seconds |"
    )
    print("|" + "---|" * 16, flush=True)
    for name in arguments.sections:
        cells = one(name, arguments.n, arguments.preset, arguments.seed)
        print(f"| {name} | {cells[0]} | " + " | ".join(f"{cell:.3f}" for cell in cells[1:]) + " |", flush=True)


def one(name: str, n: int, preset: str, seed: int) -> list[float]:
    section = load(name)
    genes = most_variable(section)
    s2s.tl.impute(section, genes, preset=preset, rng=seed, progress=False)
    measured, held_out = section.obs["s2s_measured"].to_numpy(), section.obs["s2s_held_out"].to_numpy()
    shown = measured | held_out
    lattice = read_section(section)[1].lattice
    pairs = cKDTree(lattice.unit_coordinates[shown]).query_pairs(1.1, output_type="ndarray")

    def moran(values: np.ndarray) -> pd.Series:
        centred = values[shown] - values[shown].mean(axis=0)
        product = (centred[pairs[:, 0]] * centred[pairs[:, 1]]).mean(axis=0)
        return pd.Series(product / np.square(centred).mean(axis=0), genes)

    truth = section[:, genes].X.toarray()
    mean, std = (np.asarray(section[:, genes].layers[key]) for key in ("s2s", "s2s_std"))
    drawn = []

    def statistic(draw) -> pd.Series:
        # The sites of draws are those with values.
        values = np.full(truth.shape, np.nan, np.float32)
        values[section.obs_names.isin(draw.obs_names)] = draw.X
        drawn.append(values[held_out])
        return moran(values)

    start = time.process_time()
    table = s2s.tl.propagate(section, statistic, n, genes=genes, rng=seed, progress=False)
    seconds = time.process_time() - start
    true, of_map = moran(truth), moran(mean)
    varies = true.notna()
    rows = [each[varies] for each in (of_map - true, table["estimate"] - true)]
    covered = ((table["lower"] <= true) & (true <= table["upper"]))[varies].mean()
    truth, mean, std, drawn = truth[held_out], mean[held_out], std[held_out], np.stack(drawn)
    window, counts = window_means(lattice.index[held_out])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="weibull")
    of_draws = np.stack([window(draw) for draw in drawn])
    half = student.ppf((1 + LEVEL) / 2, n - 1) * np.sqrt(1 + 1 / n) * of_draws.std(axis=0, ddof=1)
    independent = norm.ppf((1 + LEVEL) / 2) * np.sqrt(window(np.square(std)) / counts)
    return [
        int(measured.sum()),
        true.mean(),
        *(each.mean() for each in rows),
        *(each.abs().mean() for each in rows),
        *(spearmanr(each[varies], true[varies]).statistic for each in (of_map, table["estimate"])),
        covered,
        ((low <= truth) & (truth <= high)).mean(),
        crps(drawn, truth),
        crps_of_normal(mean, std, truth),
        (np.abs(window(truth) - of_draws.mean(axis=0)) <= half).mean(),
        (np.abs(window(truth) - window(mean)) <= independent).mean(),
        seconds,
    ]


def window_means(index: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return a function that averages values (n, n_genes) over windows of 4 x 4 sites, and their numbers of sites."""
    _, window, counts = np.unique(index // 4, axis=0, return_inverse=True, return_counts=True)
    counts = counts[:, None]
    enough = counts[:, 0] >= FEWEST

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.zeros((len(counts), values.shape[1]))
        np.add.at(total, window, values)
        return (total / counts)[enough]

    return mean, counts[enough]


def crps(drawn: np.ndarray, truth: np.ndarray) -> float:
    """Continuous ranked probability score of draws (n, ...), without the bias of small n."""
    n = len(drawn)
    ordered, rank = np.sort(drawn, axis=0), np.arange(n).reshape(-1, *[1] * truth.ndim)
    spread = (ordered * (2 * rank - n + 1)).sum(axis=0) / (n * (n - 1))
    return float((np.abs(drawn - truth).mean(axis=0) - spread).mean())


def crps_of_normal(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> float:
    z = (truth - mean) / np.maximum(std, 1e-9)
    return float((std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))).mean())


if __name__ == "__main__":
    main()
