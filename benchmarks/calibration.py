"""Calibration of error estimates: s2s on every section and seed, with PCA kriging for scale.

``python benchmarks/calibration.py [--sections ...] [--seeds 0 1 2] [--fraction 0.5] [--preset default]``.
Protocol: see protocol.py; every section in a process of its own. Columns:

* PCC, RMSE, MAE of s2s, gains over PCA kriging, 95 % interval of the relative gain in PCC over genes (bootstrap);
* coverage: part of held-out values inside the 90 % intervals; width: their mean width, over that of intervals about
  PCA kriging as wide for each gene as its error at the held-out spots asks for, scaled to the same coverage;
* reliability: mean expected PCC minus mean PCC found, and Spearman's correlation of the two over genes.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from protocol import SECTIONS, load, machine, most_variable, score
from scipy.stats import spearmanr

import s2s_scverse as s2s


def rows(name: str, seeds: list[int], fraction: float | None, preset: str) -> list[tuple[str, list[float]]]:
    section = load(name, fraction=fraction)
    genes = most_variable(section)
    options = {"genes": genes, "total_counts": None}
    base = score(section, "pca_kriging", genes, lambda: s2s.tl.interpolate(section, "pca_kriging", **options))
    columns = section.var_names.get_indexer(genes)
    hidden = section.obs["s2s_held_out"].to_numpy()
    truth = section[hidden, genes].X.toarray()
    found_of_genes = s2s.get.evaluation_df(section)["pcc"].fillna(0).to_numpy()
    lines = []
    for seed in seeds:
        result = score(
            section,
            "s2s",
            genes,
            lambda: s2s.tl.impute(section, genes, preset=preset, rng=seed, progress=False),  # noqa: B023
        )
        own = s2s.get.evaluation_df(section)["pcc"].fillna(0).to_numpy()
        gain = bootstrapped(own, found_of_genes)
        lower, upper = (end[hidden] for end in s2s.get.interval(section, 0.9, genes=genes))
        inside = (truth >= lower) & (truth <= upper)
        middle = np.maximum(section.layers["pca_kriging"][hidden][:, columns], 0)
        error = np.abs(truth - middle)
        ruler = np.sqrt(np.square(error).mean(axis=0))
        half = ruler * np.quantile(error / ruler, inside.mean())
        other = (middle + half - np.maximum(middle - half, 0)).mean()
        expected = section.var["s2s_reliability"].to_numpy()[columns]
        numbers = [result.pcc, result.rmse, result.mae, result.pcc / base.pcc - 1, *gain]
        numbers += [result.rmse - base.rmse, result.mae - base.mae, inside.mean(), (upper - lower).mean() / other]
        numbers += [expected.mean() - own.mean(), spearmanr(expected, own).statistic]
        numbers += [section.uns["s2s"]["s2s"]["shrinkage"], result.seconds, result.gigabytes]
        lines.append((f"| {name} | {seed} | {base.pcc:.4f} | {text(numbers)} |", numbers))
    return lines


def bootstrapped(own: np.ndarray, other: np.ndarray) -> list[float]:
    drawn = np.random.default_rng(0).integers(len(own), size=(2000, len(own)))
    return np.quantile(own[drawn].mean(axis=1) / other[drawn].mean(axis=1) - 1, [0.025, 0.975]).tolist()


def text(numbers: list[float]) -> str:
    pcc, rmse, mae, gain, low, high, d_rmse, d_mae, cover, width, off, rho, gate, seconds, memory = numbers
    scores = f"{pcc:.4f} | {100 * gain:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f}) | {rmse:.4f} | {d_rmse:+.4f}"
    errors = f"{mae:.4f} | {d_mae:+.4f} | {cover:.3f} | {width:.3f} | {off:+.3f} | {rho:.2f}"
    return f"{scores} | {errors} | {gate:.2f} | {seconds:.0f} | {memory:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--fraction", type=float, help="measure this random fraction instead of every second spot")
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    print(f"{machine()}; preset {arguments.preset}, measured: {arguments.fraction or 'every second spot'}")
    names = (
        "section | seed | PCA kriging PCC | s2s PCC | gain (over genes) | RMSE | gain | MAE | gain | coverage | width"
    )
    print(f"| {names} | reliability off | Spearman | shrinkage | seconds | GB |\n" + "|---" * 16 + "|", flush=True)
    gains = []
    for name in arguments.sections:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            lines = pool.submit(rows, name, arguments.seeds, arguments.fraction, arguments.preset).result()
        print("\n".join(line for line, _ in lines), flush=True)
        gains.append(np.mean([numbers[3] for _, numbers in lines]))
    print(f"mean relative gain in PCC over sections: {100 * np.mean(gains):+.2f} %")


if __name__ == "__main__":
    main()
