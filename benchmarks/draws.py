"""Statistics on conditional draws and on the mean map, against the fully measured section.

``python benchmarks/draws.py [--table ...] [--sections ...] [--n 20] [--preset default] [--seed 0]``. Protocol: see
protocol.py.

``--table statistics``, the default: Moran's I of the 200 genes, over measured and held-out spots, neighbours on the
lattice: mean error of the map and of draws, mean absolute error, Spearman correlation with the truth, coverage of 90 %
intervals of `tl.propagate`. Held-out spots: coverage of 90 % intervals from draws, in which the rank among equal draws
is random, and CRPS beside that of a normal distribution with the layer's standard deviation. Means of held-out spots
over windows of 4 x 4 sites, and over six domains (clusters of the map): coverage of 90 % intervals, and with
independent errors of the layer's standard deviation instead. CPU seconds of reading, fitting and drawing.

``--table noise``: errors of Moran's I that remain if the expression at held-out spots is known, but not the noise of
their measurement: all spots are measured and denoised, and held-out ones drawn from what is left. Mean error, mean
absolute error, standard deviation between draws, Spearman correlation.

``--table coverage [--mask "lost hole"] [--fraction .25] [--image]``: coverage of 90 % intervals from draws and from
the layer's standard deviation at single held-out spots, and root mean squared error in units of the root mean squared
standard deviation, by distance to the nearest spot (in sites; with stride 2 there is little but 1) and by terciles of
the imputed value, and with ``--image``, which all tables but the last take, of genes by how much it helps.

``--table area``: fraction of measured and held-out spots above the 50, 75 and 90 % quantile of each gene's measured
spots: its mean, mean error of the map and of draws, mean absolute error, mean standard deviation, mean and root mean
square of the error in units of that, coverage of 90 % intervals of `tl.propagate`.

``--table null [--repeats 3]``: false positives at p < .05. The largest of four clusters is made homogeneous: its spots
are shuffled, before any is held out. Its sites are then divided at random lines through the middle, the same without
sites near other clusters, or at random, five times each; no gene differs between halves but by chance. Difference of
means with its sampling variance through `tl.propagate`; Welch's t test on the imputed sites; the same on the fully
measured section.

``--table chance``: the coverages of the first table, the mean absolute error of Moran's I of draws in units of that of
the map, and by how much the Spearman correlation of draws is above that of the map; and the range from 5 to 95 % of
these for 40 other draws in the place of the measured section: what is expected if the error model is right.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from itertools import pairwise

import anndata as ad
import numpy as np
import pandas as pd
from metrics import crps, morans_i
from protocol import ALL_SECTIONS, MASKS, SECTIONS, load, load_counts, log_normalised, machine, most_variable
from scipy.spatial import cKDTree
from scipy.stats import norm, sem, spearmanr, ttest_ind
from scipy.stats import t as student
from script import parser, print_header, print_row
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

import s2s_scverse as s2s
from s2s_scverse._adata import read_section

LEVEL = 0.9
QUANTILES = (0.5, 0.75, 0.9)
FEWEST = 6  # held-out spots in a window or domain
DOMAINS = 6
DISTANCES = (1.2, 1.8, 2.5, 3.5)  # bounds of the bins of the distance to the nearest spot, in sites
SPLITS, ALPHA = 5, 0.05
HALVES = ("line", "line, inside", "random")
SMALLEST = 20  # sites of a half
TRUTHS = 40  # draws in the place of the measured section
REACH = 2.5  # distance from other clusters to sites inside a region


def main() -> None:
    options = parser(__doc__, ALL_SECTIONS, SECTIONS)
    options.add_argument("--table", default="statistics", choices=list(TABLES))
    options.add_argument("--n", type=int, default=20)
    options.add_argument("--preset", default="default")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--fraction", type=float, help="part of the spots that is measured, at random")
    options.add_argument("--mask", choices=MASKS, help="spots that are held out, instead")
    options.add_argument("--image", action="store_true", help="use the image")
    options.add_argument("--repeats", type=int, default=3, help="times that spots are shuffled")
    arguments = options.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    TABLES[arguments.table](arguments)


def print_statistics(arguments: argparse.Namespace) -> None:
    print_header(
        "section | spots | Moran's I | bias of map | of draws | MAE of map | of draws | Spearman of map | of draws | "
        "coverage | sites | CRPS | normal | windows | independent | domains | independent | seconds"
    )
    for name in arguments.sections:
        print_row(name, *one(name, arguments))


def print_coverage(arguments: argparse.Namespace) -> None:
    print_header("section | part | values | coverage of draws | of the layer | RMSE / sd")
    for name in arguments.sections:
        by_chance = {"fraction": arguments.fraction, "rng": arguments.seed}
        section = load(name, arguments.mask) if arguments.mask else load(name, **by_chance)
        genes = most_variable(section)
        impute(section, genes, arguments)
        # Held-out spots too far from all measured ones have no value.
        imputed = np.isfinite(np.asarray(section[:, genes].layers["s2s"])).all(axis=1)
        held_out = section.obs["s2s_held_out"].to_numpy() & imputed
        hidden = section[held_out, genes]
        truth, mean, std = hidden.X.toarray(), *(np.asarray(hidden.layers[key]) for key in ("s2s", "s2s_std"))
        draws = s2s.get.draws(section, arguments.n, genes=genes, rng=arguments.seed)
        drawn = np.stack([draw[hidden.obs_names].X for draw in draws])
        inside = covered_at_random(drawn, truth, np.random.default_rng(arguments.seed))
        lower, upper = (end[held_out] for end in s2s.get.interval(section, LEVEL, genes=genes))
        of_layer = (lower <= truth) & (truth <= upper)
        at = read_section(section)[1].lattice.unit_coordinates
        distance = cKDTree(at[section.obs["s2s_measured"]]).query(at[held_out])[0]
        near = [0, *DISTANCES, np.inf]
        thirds = [-np.inf, *np.quantile(mean, [1 / 3, 2 / 3]), np.inf]
        parts = {f"{a:g} < distance <= {b:g}": (a < distance) & (distance <= b) for a, b in pairwise(near)}
        parts = {label: np.repeat(sites[:, None], len(genes), axis=1) for label, sites in parts.items()}
        levels = ("low", "medium", "high")
        parts |= {label: (a < mean) & (mean <= b) for label, (a, b) in zip(levels, pairwise(thirds), strict=True)}
        if arguments.image:
            gain = section.var["s2s_covariate_gain"][genes].to_numpy()
            thirds = [-np.inf, *np.nanquantile(gain, [1 / 3, 2 / 3]), np.inf]
            parts |= {
                f"{label} gain from the image": np.broadcast_to((a < gain) & (gain <= b), inside.shape)
                for label, (a, b) in zip(levels, pairwise(thirds), strict=True)
            }
        for label, part in ({"all": np.ones_like(inside)} | parts).items():
            if part.any():
                error = np.sqrt(np.square(mean - truth)[part].mean() / np.square(std)[part].mean())
                covered = (float(each[part].mean()) for each in (inside, of_layer))
                print_row(name, label, float(part.mean()), *covered, float(error))


def print_area(arguments: argparse.Namespace) -> None:
    print_header(
        "section | quantile | area | bias of map | of draws | MAE of map | of draws | sd | bias / sd | RMSE / sd | "
        "coverage"
    )
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        impute(section, genes, arguments)
        shown = section.obs_names[section.obs["s2s_measured"] | section.obs["s2s_held_out"]]
        spots = section[section.obs["s2s_measured"], genes].X.toarray()
        thresholds = np.quantile(spots, QUANTILES, axis=0)

        def area(values: np.ndarray) -> pd.DataFrame:
            return pd.DataFrame((values > thresholds[:, None]).mean(axis=1).T, genes, QUANTILES)  # noqa: B023

        table = s2s.tl.propagate(
            section,
            lambda draw: area(draw[shown].X),  # noqa: B023
            arguments.n,
            genes=genes,
            rng=arguments.seed,
            progress=False,
        )
        of = section[shown, genes]
        table["truth"] = area(of.X.toarray()).to_numpy().ravel()
        table["map"] = area(np.asarray(of.layers["s2s"])).to_numpy().ravel()
        for quantile in QUANTILES:
            part = table.xs(quantile, level=1)
            of_map, of_draws = (part[column] - part["truth"] for column in ("map", "estimate"))
            z = of_draws / part["sd"].clip(lower=1e-9)
            print_row(
                name,
                quantile,
                part["truth"].mean(),
                *(each.mean() for each in (of_map, of_draws)),
                *(each.abs().mean() for each in (of_map, of_draws)),
                part["sd"].mean(),
                z.mean(),
                np.sqrt(np.square(z).mean()),
                part["truth"].between(part["lower"], part["upper"]).mean(),
            )


def print_null(arguments: argparse.Namespace) -> None:
    print_header("section | sites of the region | halves | comparisons | propagate | t test, imputed | t test, truth")
    for name in arguments.sections:
        rngs = np.random.default_rng(arguments.seed).spawn(arguments.repeats)
        found = [null(name, arguments.n, arguments.preset, rng) for rng in rngs]
        size = int(np.mean([count for count, _ in found]))
        for row, halves in enumerate(HALVES):
            rejected = np.concatenate([tests[:, row] for _, tests in found], axis=1)
            compared = np.isfinite(rejected).all(axis=0)
            print_row(name, size, halves, compared.sum(), *rejected[:, compared].mean(axis=1).tolist())


def null(name: str, n: int, preset: str, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Return the number of sites of the region, and what is rejected: (3 tests, kinds of halves, comparisons)."""
    counts = load_counts(name)
    spots = counts.obs["s2s_measured"].to_numpy()
    raw, counts.X = counts.X, log_normalised(counts.X, spots)
    scores = PCA(10, random_state=0).fit_transform(counts[spots, most_variable(counts)].X.toarray())
    cluster = KMeans(4, n_init=3, random_state=0).fit_predict(scores)
    region = spots.copy()
    region[spots] = cluster == np.bincount(cluster).argmax()
    order = np.arange(counts.n_obs)
    order[region] = rng.permutation(order[region])
    s2s.pp.sparsify(counts)
    counts.X = log_normalised(raw[order], counts.obs["s2s_measured"].to_numpy())
    genes = most_variable(counts)
    s2s.tl.impute(counts, genes, preset=preset, rng=int(rng.integers(2**31)), progress=False)
    at = np.asarray(counts.obsm["spatial"])[region]
    angle = rng.uniform(0, np.pi, SPLITS)
    along = at @ np.stack([np.cos(angle), np.sin(angle)])
    line = along < np.median(along, axis=0)
    places = read_section(counts)[1].lattice.unit_coordinates
    inner = cKDTree(places[~region]).query(places[region])[0][:, None] > REACH
    random = rng.permuted(line, axis=0)
    halves = [np.hstack(each).T for each in ((line, line & inner, random), (~line, ~line & inner, ~random))]
    names = counts.obs_names[region]

    def difference(draw) -> tuple[np.ndarray, np.ndarray]:
        """Differences between means of halves, and their sampling variances."""
        values = draw[names].X.astype(float)
        pairs = [(values[one], values[other]) for one, other in zip(*halves, strict=True)]
        means = np.stack([one.mean(axis=0) - other.mean(axis=0) for one, other in pairs])
        return means, np.stack([sum(sem(half) ** 2 for half in pair) for pair in pairs])

    def t_test(values: np.ndarray) -> np.ndarray:
        pairs = [(values[one], values[other]) for one, other in zip(*halves, strict=True)]
        return np.stack([ttest_ind(*pair, equal_var=False).pvalue < ALPHA for pair in pairs]).astype(float)

    table = s2s.tl.propagate(counts, difference, n, genes=genes, level=1 - ALPHA, rng=rng, progress=False)
    rejected = ((table["lower"] > 0) | (table["upper"] < 0)).to_numpy(float).reshape(len(halves[0]), -1)
    region = counts[names, genes]
    tests = np.stack([rejected, *(t_test(values) for values in (region.layers["s2s"], region.X.toarray()))])
    tests[:, np.minimum(*(half.sum(axis=1) for half in halves)) < SMALLEST] = np.nan
    return len(names), tests.reshape(3, len(HALVES), -1)


def moran_of(section: ad.AnnData, genes: list[str]) -> Callable[[np.ndarray], pd.Series]:
    """Return Moran's I as a function of values (n_obs, n_genes), over measured and held-out spots."""
    shown = (section.obs["s2s_measured"] | section.obs["s2s_held_out"]).to_numpy()
    at = read_section(section)[1].lattice.unit_coordinates[shown]
    pairs = cKDTree(at).query_pairs(1.1, output_type="ndarray")
    return lambda values: pd.Series(morans_i(values[shown], pairs), genes)


def print_noise(arguments: argparse.Namespace) -> None:
    print_header("section | spots | bias | MAE | sd | Spearman")
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        moran = moran_of(section, genes)
        measured, held_out = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
        values = section[:, genes].X.toarray()
        known = section[measured | held_out].copy()
        known.obs["s2s_measured"], known.obs["s2s_held_out"] = True, False
        options = {"preset": arguments.preset, "rng": arguments.seed, "progress": False}
        s2s.tl.impute(known, genes, denoise=True, **options)
        found = []
        for draw in s2s.get.draws(known, arguments.n, genes=genes, rng=arguments.seed):
            again = values.copy()
            again[held_out] = draw[section.obs_names[held_out]].X
            found.append(moran(again))
        true, table = moran(values), pd.concat(found, axis=1)
        varies, estimate = true.notna(), table.mean(axis=1)
        error = (estimate - true)[varies]
        rank = spearmanr(estimate[varies], true[varies]).statistic
        print_row(name, int(measured.sum()), error.mean(), error.abs().mean(), table.std(axis=1)[varies].mean(), rank)


def impute(section: ad.AnnData, genes: list[str], arguments: argparse.Namespace) -> None:
    if arguments.image:
        s2s.pp.image_features(section)
    covariates = "s2s_image" if arguments.image else None
    options = {"preset": arguments.preset, "rng": arguments.seed, "progress": False}
    s2s.tl.impute(section, genes, covariates=covariates, **options)


def one(name: str, arguments: argparse.Namespace) -> list[float]:
    n, seed = arguments.n, arguments.seed
    section = load(name)
    genes = most_variable(section)
    impute(section, genes, arguments)
    measured, held_out = section.obs["s2s_measured"].to_numpy(), section.obs["s2s_held_out"].to_numpy()
    moran, truth = moran_of(section, genes), section[:, genes].X.toarray()
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
    groups = groups_of(section, mean[held_out])
    truth, mean, std, drawn = truth[held_out], mean[held_out], std[held_out], np.stack(drawn)

    def independent(means: np.ndarray) -> float:
        """Coverage of intervals of means over groups of sites, from independent errors."""
        half = norm.ppf((1 + LEVEL) / 2) * np.sqrt(np.square(means) @ np.square(std))
        return float((np.abs(means @ (truth - mean)) <= half).mean())

    return [
        int(measured.sum()),
        true.mean(),
        *(each.mean() for each in rows),
        *(each.abs().mean() for each in rows),
        *(spearmanr(each[varies], true[varies]).statistic for each in (of_map, table["estimate"])),
        covered,
        covered_at_random(drawn, truth, np.random.default_rng(seed)).mean(),
        crps_of_draws(drawn, truth),
        crps(truth, mean, std).mean(),
        *(share for means in groups for share in (covered_means(means @ drawn, means @ truth), independent(means))),
        seconds,
    ]


def print_chance(arguments: argparse.Namespace) -> None:
    names = ("Moran's I", "MAE", "Spearman", "sites", "windows", "domains")
    print_header(f"section | spots | {' | '.join(f'{name} | expected' for name in names)}")
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        impute(section, genes, arguments)
        held_out, moran = section.obs["s2s_held_out"].to_numpy(), moran_of(section, genes)
        mean = np.asarray(section[:, genes].layers["s2s"])
        of_map, groups = moran(mean).to_numpy(), groups_of(section, mean[held_out])
        values = [section[:, genes].X.toarray()]
        for draw in s2s.get.draws(section, arguments.n + TRUTHS, genes=genes, rng=arguments.seed):
            values.append(values[0].copy())
            values[-1][section.obs_names.isin(draw.obs_names)] = draw.X
        morans = np.stack([moran(each) for each in values])
        values = [each[held_out] for each in values]
        means = [np.stack([group @ each for each in values]) for group in groups]
        drawn, rng = slice(1, arguments.n + 1), np.random.default_rng(arguments.seed)
        estimates = morans[drawn].mean(axis=0), of_map
        found = []
        for number in (0, *range(arguments.n + 1, len(values))):
            sites = covered_at_random(np.stack(values[drawn]), values[number], rng).mean()
            of_means = [covered_means(each[drawn], each[number]) for each in means]
            true = morans[number]
            varies = np.isfinite(true)
            errors = [np.abs(each - true)[varies].mean() for each in estimates]
            ranks = [spearmanr(each[varies], true[varies]).statistic for each in estimates]
            of_moran = covered_means(morans[drawn], true), errors[0] / errors[1], ranks[0] - ranks[1]
            found.append([*of_moran, sites, *of_means])
        low, high = np.quantile(found[1:], [0.05, 0.95], axis=0)
        cells = [(float(of), f"{a:.3f} to {b:.3f}") for of, a, b in zip(found[0], low, high, strict=True)]
        print_row(name, int(section.obs["s2s_measured"].sum()), *(cell for pair in cells for cell in pair))


def groups_of(section: ad.AnnData, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n_groups, n_held_out) that average held-out spots over windows of 4 x 4 sites, and over domains.

    Domains are clusters of the map there, `mean` (n_held_out, n_genes).
    """
    index = read_section(section)[1].lattice.index[section.obs["s2s_held_out"].to_numpy()]
    windows = np.unique(index // 4, axis=0, return_inverse=True)[1]
    scores = PCA(10, random_state=0).fit_transform(mean)
    domains = KMeans(DOMAINS, n_init=3, random_state=0).fit_predict(scores)
    found = (labels == np.unique(labels)[:, None] for labels in (windows, domains))
    windows, domains = (groups[groups.sum(axis=1) >= FEWEST].astype(float) for groups in found)
    return tuple(groups / groups.sum(axis=1, keepdims=True) for groups in (windows, domains))


def covered_means(drawn: np.ndarray, truth: np.ndarray) -> float:
    """Coverage of the intervals of `tl.propagate` for statistics of draws, (n, ...); NaN is left out."""
    n = len(drawn)
    half = student.ppf((1 + LEVEL) / 2, n - 1) * np.sqrt(1 + 1 / n) * drawn.std(axis=0, ddof=1)
    covered = np.abs(drawn.mean(axis=0) - truth) <= half
    return float(covered[np.isfinite(truth)].mean())


def covered_at_random(drawn: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return whether values (n_sites, n_genes) are within the middle 90 % of draws (n, n_sites, n_genes).

    Counts have ties: a closed interval that ends at 0 covers all zeros. The rank among equal draws is random, so that
    coverage is 90 % for draws from the right distribution (randomised probability integral transform).
    """
    below, equal = (drawn < truth).sum(axis=0), (drawn == truth).sum(axis=0)
    place = (below + rng.random(truth.shape) * (equal + 1)) / (len(drawn) + 1)
    return np.abs(place - 0.5) < LEVEL / 2


def crps_of_draws(drawn: np.ndarray, truth: np.ndarray) -> float:
    """Continuous ranked probability score of draws (n, ...), without the bias of small n."""
    n = len(drawn)
    ordered, rank = np.sort(drawn, axis=0), np.arange(n).reshape(-1, *[1] * truth.ndim)
    spread = (ordered * (2 * rank - n + 1)).sum(axis=0) / (n * (n - 1))
    return float((np.abs(drawn - truth).mean(axis=0) - spread).mean())


TABLES = {
    "statistics": print_statistics,
    "noise": print_noise,
    "coverage": print_coverage,
    "area": print_area,
    "null": print_null,
    "chance": print_chance,
}


if __name__ == "__main__":
    main()
