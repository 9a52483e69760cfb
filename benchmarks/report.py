"""Tables of docs/benchmarks.md and its chart, from ``benchmarks/results/*.csv``.

``python benchmarks/report.py [--preset quick] [--readme]``: rewrites what lies between ``<!-- table: NAME -->`` and
``<!-- end -->``, and docs/images/benchmark.svg and growth_by_method.svg. Needs no section. With ``--readme`` the
table for README is printed instead. Where ``results/genes.csv`` is present (`run.py` writes it),
``results/genes_ahead.csv`` is made anew from it.

Gains are paired: method against baseline on the same section, mean over sections. Their 95 % intervals are bootstrapped
over tissues, since sections of one tissue are alike. The gap closed is the part of the way to the noise ceiling, from
the gene mean (PCC / ceiling) or from kriging: (PCC - PCC of kriging) / (ceiling - PCC of kriging).
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, IMAGES = ROOT / "benchmarks/results", ROOT / "docs/benchmarks.md", ROOT / "docs/images"
EQUAL = ("gene mean", "nearest", "linear", "inverse distance", "kriging", "PCA kriging", "s2s")
GUIDED = (
    "TESLA's rule",
    "GSTools, image as drift",
    "GPBoost, image linear",
    "GPBoost, image in trees",
    "s2s with image",
)
RIVALS = ("GSTools kriging", "GPBoost", "MEFISTO")
AHEAD = 0.01
NAMES = {"s2s": "**s2s**", "s2s with image": "**s2s with image**"}
NETWORK = "s2s with network"
MARKERS = {
    "kriging": ("o", "0.6"),
    "PCA kriging": ("s", "0.35"),
    "GSTools kriging": ("x", "C1"),
    "GPBoost": ("+", "C2"),
    "MEFISTO": ("v", "C4"),
    "s2s": ("D", "C0"),
    "s2s with image": ("*", "C3"),
}
SHORT = ("kriging", "PCA kriging", "GSTools kriging", "GPBoost", "MEFISTO", "s2s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--readme", action="store_true")
    arguments = parser.parse_args()
    scores = load(arguments.preset)
    if arguments.readme:
        print(readme(scores))
        return
    if (RESULTS / "genes.csv").exists():
        genes_ahead(arguments.preset).to_csv(RESULTS / "genes_ahead.csv", index=False, float_format="%.3g")
    PAGE.write_text(filled(PAGE.read_text(), scores))
    draw(scores)
    draw_growth(scores)


def filled(page: str, scores: pd.DataFrame) -> str:
    """Return the page with its tables made anew."""
    for name, make in TABLES.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{make(scores)}\n\n{end}{rest.partition(end)[2]}"
    return page


def load(preset: str) -> pd.DataFrame:
    """Read the scores with every second spot measured; one row per section and method."""
    table = read(preset)
    return table[table["mask"] == "stride 2"].drop(columns="mask")


def read(preset: str) -> pd.DataFrame:
    """Read the scores, means over seeds; one row per section, mask and method."""
    table = pd.read_csv(RESULTS / "scores.csv", keep_default_na=False, na_values=[""])
    # The same with a network, of which the parts are told.
    trained = (table["preset"] == "default") & (table["method"] == "s2s") & (preset == "quick")
    table["method"] = table["method"].mask(trained, NETWORK)
    table = table[table["preset"].isna() | (table["preset"] == preset) | trained]
    table = table.groupby(["section", "mask", "method"], as_index=False).mean(numeric_only=True)
    sections = pd.read_csv(ROOT / "benchmarks/sections.csv").set_index("name")
    return table.join(sections[["role", "tissue", "platform"]], on="section")


def wide(scores: pd.DataFrame, score: str = "pcc") -> pd.DataFrame:
    return scores.pivot_table(index="section", columns="method", values=score)


def interval(difference: pd.Series, tissue: pd.Series) -> str:
    """95 % interval of a mean over sections; tissues are drawn with replacement."""
    groups = [difference[tissue == name].to_numpy() for name in tissue.unique()]
    rng = np.random.default_rng(0)
    sums, sizes = np.array([group.sum() for group in groups]), np.array([len(group) for group in groups])
    drawn = rng.integers(len(groups), size=(10_000, len(groups)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return f"{low:+.3f} to {high:+.3f}"


def gain(scores: pd.DataFrame, method: str, baseline: str) -> str:
    """Mean difference in PCC with its interval, mean relative difference, and sections on which it is positive."""
    pcc = wide(scores)
    if not {method, baseline} <= set(pcc):
        return ""
    pcc = pcc[[method, baseline]].dropna()
    tissue = scores.drop_duplicates("section").set_index("section")["tissue"].loc[pcc.index]
    difference = pcc[method] - pcc[baseline]
    relative = 100 * (difference / pcc[baseline])[pcc[baseline] > 0].mean()
    ahead = f"{(difference > 0).sum()} of {len(pcc)}"
    return f"{difference.mean():+.3f} ({interval(difference, tissue)}), {relative:+.1f} %, {ahead}"


def closed(scores: pd.DataFrame, method: str) -> tuple[float, ...]:
    """Mean over sections of the parts of the ceiling, and of the way from kriging to it, that a method reaches."""
    pcc, ceiling = wide(scores), scores.groupby("section")["ceiling"].first()
    parts = pcc[method] / ceiling, (pcc[method] - pcc["kriging"]) / (ceiling - pcc["kriging"])
    return tuple(float(part.dropna().mean()) for part in parts)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def of(scores: pd.DataFrame, method: str, score: str, digits: int = 4) -> str:
    values = scores.loc[scores["method"] == method, score].dropna()
    return f"{values.mean():.{digits}f}" if len(values) else ""


def headline(scores: pd.DataFrame) -> str:
    """Compare on the test sections that all these methods ran on."""
    test = scores[scores["role"] == "test"]
    complete = wide(test).reindex(columns=EQUAL).dropna().index
    test = test[test["section"].isin(complete)]
    rows = []
    for method in EQUAL:
        gains = ["" if method in (other, "gene mean") else gain(test, method, other) for other in SHORT[:2]]
        ways = [f"{100 * part:.1f} %" for part in closed(test, method)]
        rows.append([NAMES.get(method, method), of(test, method, "pcc"), of(test, method, "rmse"), *ways, *gains])
    rows.append(["noise ceiling", of(test, "kriging", "ceiling"), "", "100 %", "100 %", "", ""])
    names = ["PCC", "RMSE", "from mean", "from kriging", "PCC over kriging", "PCC over PCA kriging"]
    return table([f"{len(complete)} sections", *names], rows)


def parts(scores: pd.DataFrame) -> str:
    """What the stack, the depth of spots and the image each add."""
    steps = (
        ("depth, in kriging", "kriging", "kriging, no depth"),
        ("depth, in PCA kriging", "PCA kriging", "PCA kriging, no depth"),
        ("depth, in the stack", "s2s", "stack, no depth"),
        ("components: PCA kriging over kriging", "PCA kriging", "kriging"),
        ("stack over PCA kriging, both with depth", "s2s", "PCA kriging"),
        ("stack over PCA kriging, both without", "stack, no depth", "PCA kriging, no depth"),
        ("image (sections whose other phases were used included)", "s2s with image", "s2s"),
        ("network (default preset over quick)", NETWORK, "s2s"),
    )
    rows = []
    for what, method, baseline in steps:
        roles = ("test",) if method != "s2s with image" else ("test", "repeat")
        cells = [gain(scores[scores["role"] == role], method, baseline) for role in ("test", "tuning")]
        if method == "s2s with image":
            cells[0] = gain(scores[scores["role"].isin(roles)], method, baseline)
        rows.append([what, *cells])
    return table(["part", "test sections", "tuning sections"], rows)


def by_section(scores: pd.DataFrame, roles: tuple[str, ...]) -> str:
    chosen = scores[scores["role"].isin(roles)]
    pcc, ceiling = wide(chosen), chosen.groupby("section")["ceiling"].first()
    methods = [method for method in ("kriging", "PCA kriging", *RIVALS, "s2s", "s2s with image") if method in pcc]
    rows = []
    for section, row in pcc.iterrows():
        best = row[methods].max()
        first = chosen[chosen["section"] == section].iloc[0]
        cells = [
            "" if np.isnan(row[m]) else f"**{row[m]:.3f}**" if row[m] == best else f"{row[m]:.3f}" for m in methods
        ]
        rows.append([str(section), f"{first['spots']:.0f}", *cells, f"{ceiling[section]:.3f}"])
    return table(["section", "spots", *methods, "ceiling"], rows)


def rmse(scores: pd.DataFrame) -> str:
    chosen = scores[scores["role"].isin(("test", "repeat"))]
    found = wide(chosen, "rmse")
    methods = [
        method
        for method in ("gene mean", "kriging", "PCA kriging", *RIVALS, "s2s", "s2s with image")
        if method in found
    ]
    rows = [
        [str(section), *("" if np.isnan(row[m]) else f"{row[m]:.4f}" for m in methods)]
        for section, row in found.iterrows()
    ]
    return table(["section", *methods], rows)


def image(scores: pd.DataFrame) -> str:
    """Return PCC of methods that use the image, on all sections that have one."""
    pcc = wide(scores)
    methods = [method for method in ("kriging", "s2s", *GUIDED) if method in pcc]
    rows = [
        [
            str(section),
            *(
                "" if np.isnan(row[m]) else f"**{row[m]:.3f}**" if row[m] == row[methods].max() else f"{row[m]:.3f}"
                for m in methods
            ),
        ]
        for section, row in pcc[pcc["s2s with image"].notna()].iterrows()
    ]
    return table(["section", *methods], rows)


def rivals(scores: pd.DataFrame) -> str:
    """Compare other packages, which are not given the depth of spots, on the test sections that each ran on."""
    test = scores[scores["role"] == "test"]
    pcc, error = wide(test), wide(test, "rmse")
    rows = []
    for method in (*RIVALS, *GUIDED[:-1]):
        other = "s2s with image" if method in GUIDED else "stack, no depth"
        if method not in pcc:
            continue
        both = pcc[[method, other, "s2s"]].dropna()
        means = [f"{both[name].mean():.3f} / {error.loc[both.index, name].mean():.4f}" for name in (method, other)]
        rows.append(
            [method, str(len(both)), means[0], f"{NAMES.get(other, other)}: {means[1]}", gain(test, other, method)]
        )
    return table(["method", "sections", "PCC / RMSE", "against", "gain in PCC"], rows)


def masks(_: pd.DataFrame) -> str:
    """PCC with other spots measured, means over sections; every second spot on the same ones."""
    scores = read("quick")
    places = ("phase 0, 1", "phase 1, 0", "phase 1, 1", "half", "quarter", "lost corner", "lost stripe", "lost hole")
    several = scores.groupby("section")["mask"].nunique()
    scores = scores[scores["section"].isin(several.index[several > 1])]
    rows = []
    for mask in ("stride 2", *places):
        own = scores[scores["mask"] == mask]
        pcc = wide(own)
        means = [f"{pcc[method].mean():.3f}" for method in ("kriging", "PCA kriging", "s2s")]
        behind = pcc.index[pcc["s2s"] < pcc["PCA kriging"]]
        gains = [gain(own, "s2s", "PCA kriging"), gain(own, "s2s with image", "s2s")]
        rows.append([mask, str(len(pcc)), *means, *gains, ", ".join(behind)])
    names = ["sections", "kriging", "PCA kriging", "s2s", "s2s over PCA kriging", "image", "PCA kriging better on"]
    return table(["mask", *names], rows)


def bold(value: float, best: float) -> str:
    return f"**{value:.3f}**" if value == best else f"{value:.3f}"


def network(scores: pd.DataFrame) -> str:
    """PCC and RMSE without and with a network."""
    pcc, error = wide(scores), wide(scores, "rmse")
    both = pcc[["s2s", NETWORK]].dropna()
    rows = [
        [
            str(section),
            *(f"{each.loc[section, name]:.4f}" for each in (pcc, error) for name in ("s2s", NETWORK)),
            f"{row[NETWORK] - row['s2s']:+.4f}",
        ]
        for section, row in both.iterrows()
    ]
    return table(["section", "PCC, quick", "default", "RMSE, quick", "default", "gain in PCC"], rows)


def errors(scores: pd.DataFrame) -> str:
    """Errors and smoothness: means over the test sections that a method ran on."""
    test = scores[scores["role"] == "test"]
    rows = []
    for method in (*EQUAL, *RIVALS, *GUIDED):
        own = test[test["method"] == method]
        if len(own):
            numbers = [of(test, method, score, 3) for score in ("crps", "coverage", "moran_bias")]
            rows.append([NAMES.get(method, method), str(own["section"].nunique()), *numbers])
    return table(["method", "sections", "CRPS", "coverage of 90 %", "Moran's I bias"], rows)


def cost(seconds: float, memory: float) -> str:
    """CPU seconds and GB; without memory the method was stopped."""
    if np.isnan(seconds):
        return ""
    return f"> {seconds:.0f}" if np.isnan(memory) else f"{seconds:.1f} / {memory:.2f}"


def costs(scores: pd.DataFrame) -> str:
    """CPU seconds and memory where they were measured."""
    seconds, memory = wide(scores, "cpu_seconds"), wide(scores, "gigabytes")
    methods = [method for method in (*SHORT, *GUIDED) if method in seconds]
    if "s2s" not in methods:
        return "Not measured yet."
    spots = scores.groupby("section")["spots"].first()
    rows = []
    for section in sorted(seconds.index[seconds["s2s"].notna()], key=spots.__getitem__):
        cells = [cost(seconds.loc[section, m], memory.loc[section, m]) for m in methods]
        rows.append([str(section), f"{spots[section]:.0f}", *cells])
    return table(["CPU s / peak GB", "spots", *methods], rows)


def better(scores: pd.DataFrame) -> str:
    """List methods with a higher PCC or a lower RMSE than s2s, and sections where they have."""
    rows = []
    pairs = [(method, "s2s") for method in ("kriging", "PCA kriging", *RIVALS)]
    pairs += [(method, "stack, no depth") for method in ("kriging, no depth", "PCA kriging, no depth", *RIVALS)]
    pairs += [(method, other) for other in ("s2s", "s2s with image") for method in GUIDED[:-1]]
    for method, other in pairs:
        cells = [method, other]
        for score, sign in (("pcc", 1), ("rmse", -1)):
            found = wide(scores, score)
            if not {method, other} <= set(found):
                break
            pair = found[[method, other]].dropna()
            difference = pair[method] - pair[other]
            ahead = difference[sign * difference > 0]
            names = ", ".join(f"{name} ({value:+.4f})" for name, value in ahead.items())
            cells.append(f"{len(ahead)} of {len(pair)}" + (f": {names}" if names else ""))
        else:
            rows.append(cells)
    return table(["method", "against", "PCC higher", "RMSE lower"], rows)


def genes_ahead(preset: str) -> pd.DataFrame:
    """Count genes whose PCC is higher or lower than that of s2s by more than .01, by terciles of their ceiling."""
    genes = pd.read_csv(RESULTS / "genes.csv", keep_default_na=False, na_values=[""])
    genes = genes[(genes["mask"] == "stride 2") & (genes["preset"].isna() | (genes["preset"] == preset))]
    genes = genes.groupby(["section", "method", "gene"], as_index=False)[["pcc", "ceiling"]].mean()
    rows = []
    for section, found in genes.groupby("section"):
        pcc = found.pivot_table(index="gene", columns="method", values="pcc")
        ceiling = found.groupby("gene")["ceiling"].first()
        third = pd.cut(ceiling.rank(method="first"), 3, labels=["low", "medium", "high"])
        for method in pcc.columns.intersection(["kriging", "PCA kriging", *RIVALS, *GUIDED[:-1]]):
            other = "s2s with image" if method in GUIDED else "s2s"
            if other not in pcc:
                continue
            difference = pcc[method] - pcc[other]
            ahead = difference > AHEAD
            most = difference.sort_values(ascending=False).index[:5]
            rows.append(
                {"section": section, "method": method, "against": other, "genes": len(pcc), "ahead": ahead.sum()}
                | {"behind": (difference < -AHEAD).sum()}
                | {f"ahead, {level} ceiling": ahead[third == level].sum() for level in ("low", "medium", "high")}
                | {"most ahead": " ".join(f"{gene} {difference[gene]:+.2f}" for gene in most if ahead[gene])}
            )
    return pd.DataFrame(rows)


def genes(scores: pd.DataFrame) -> str:
    """Sum the counts of `genes_ahead` over the test and repeated sections."""
    counts = pd.read_csv(RESULTS / "genes_ahead.csv")
    counts = counts[counts["section"].isin(scores.loc[scores["role"] != "tuning", "section"])]
    rows = []
    for (method, other), own in counts.groupby(["method", "against"], sort=False):
        sums = own.sum(numeric_only=True)
        cells = [f"{sums[name]:.0f}" for name in ("genes", "ahead", "behind")]
        cells += [f"{sums[f'ahead, {level} ceiling']:.0f}" for level in ("low", "medium", "high")]
        rows.append([method, other, str(len(own)), *cells])
    header = ["method", "against", "sections", "genes", "better by .01", "worse by .01"]
    return table([*header, "better: low ceiling", "medium", "high"], rows)


def sources(_: pd.DataFrame) -> str:
    sections = pd.read_csv(ROOT / "benchmarks/sections.csv", keep_default_na=False)
    rows = [
        [
            row["name"],
            row["role"],
            row["tissue"],
            row["platform"],
            row["source"],
            row["licence"],
            f"`{row['sha256'][:12]}`",
        ]
        for _, row in sections.iterrows()
    ]
    return table(["section", "role", "tissue", "platform", "source", "licence", "sha256 of our file"], rows)


def readme(scores: pd.DataFrame) -> str:
    """Make the table of README: test sections, depth for all."""
    test = scores[scores["role"] == "test"]
    pcc, ceiling = wide(test), test.groupby("section")["ceiling"].first()
    rows = []
    for section, row in pcc.iterrows():
        over = [f"{row['s2s'] - row[other]:+.3f} ({100 * (row['s2s'] / row[other] - 1):+.1f} %)" for other in SHORT[:2]]
        guided = row.get("s2s with image", np.nan)
        last = "" if np.isnan(guided) else f"{guided:.3f} ({100 * (guided / row['s2s'] - 1):+.1f} %)"
        first = [f"{row[name]:.3f}" for name in ("kriging", "PCA kriging", "s2s")]
        rows.append([str(section), *first, *over, last, f"{ceiling[section]:.3f}"])
    overall = ["**mean**", *(f"{pcc[name].mean():.3f}" for name in ("kriging", "PCA kriging", "s2s"))]
    overall += [gain(test, "s2s", other) for other in ("kriging", "PCA kriging")]
    rows.append([*overall, gain(test, "s2s with image", "s2s"), f"{ceiling.mean():.3f}"])
    header = [
        "test section",
        "kriging",
        "PCA kriging",
        "s2s",
        "over kriging",
        "over PCA kriging",
        "s2s with image",
        "ceiling",
    ]
    return table(header, rows) + "\n\n" + parts(scores)


def draw(scores: pd.DataFrame) -> None:
    """Draw PCC relative to the noise ceiling for every test section."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "s2s"
    test = scores[scores["role"] == "test"]
    pcc, ceiling = wide(test), test.groupby("section")["ceiling"].first()
    order = (pcc["s2s"] / ceiling).sort_values().index
    figure, ax = plt.subplots(figsize=(7.5, 0.32 * len(order) + 1.2), layout="constrained")
    for method, (marker, colour) in MARKERS.items():
        if method in pcc:
            ax.plot(pcc.loc[order, method] / ceiling[order], range(len(order)), marker, color=colour, label=method)
    ax.set(yticks=range(len(order)), yticklabels=order, xlabel="PCC / noise ceiling", xlim=(0, None))
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.3, 1))
    figure.savefig(IMAGES / "benchmark.svg", metadata={"Date": None})


def growths() -> pd.DataFrame:
    """Costs on simulated sections, one name for each method and series."""
    found = pd.read_csv(RESULTS / "growth.csv").dropna(subset="cpu_seconds")
    found["method"] = found["method"].replace("pca_kriging", "PCA kriging")
    return found[found["preset"].isna() | (found["preset"] == "quick")]


def exponents(size: pd.Series, value: pd.Series) -> str:
    """Exponent of the growth between each two sizes that follow one another."""
    steps = np.diff(np.log(value)) / np.diff(np.log(size))
    return ", ".join(f"{step:.2f}" for step in steps)


def growth(_: pd.DataFrame) -> str:
    """Exponents of CPU time against sites and genes."""
    rows = []
    found = growths().sort_values(["series", "method", "sites", "n_genes"])
    for (series, method), own in found.groupby(["series", "method"], sort=False):
        if series in ("genes", "sites"):
            size = own["n_genes" if series == "genes" else "sites"]
            cells = [", ".join(f"{each:.{digits}f}" for each in own[what]) for what, digits in SHOWN]
            other = f"{own['sites'].iloc[0]} sites" if series == "genes" else f"{own['n_genes'].iloc[0]} genes"
            sizes = ", ".join(f"{each:,}" for each in size)
            rows.append([series, NAMES.get(method, method), other, sizes, *cells, exponents(size, own["cpu_seconds"])])
    return table(["series", "method", "at", "sizes", "CPU s", "peak GB", "exponents of CPU time"], rows)


SHOWN = (("cpu_seconds", 1), ("gigabytes", 2))


def fits(scores: pd.DataFrame) -> str:
    """Fit CPU time of 200 genes as a power of the spots, over all sections with stride 2."""
    rows = []
    for method in MARKERS:
        own = scores[(scores["method"] == method) & scores["cpu_seconds"].notna()]
        if len(own) > 2:
            spots, seconds = np.log(own["spots"]), np.log(own["cpu_seconds"])
            exponent = np.polyfit(spots, seconds, 1)[0]
            span = f"{own['spots'].min():.0f} to {own['spots'].max():.0f}"
            ends = f"{own['cpu_seconds'].min():.1f} to {own['cpu_seconds'].max():.1f}"
            wide_enough = own["spots"].max() > 4 * own["spots"].min()
            rows.append(
                [NAMES.get(method, method), str(len(own)), span, ends, f"{exponent:.2f}" if wide_enough else ""]
            )
    return table(["method", "sections", "spots", "CPU s", "exponent"], rows)


def draw_growth(scores: pd.DataFrame) -> None:
    """Draw CPU time and memory against the spots of real sections."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "s2s"
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
    labels = {"cpu_seconds": "CPU time (s)", "gigabytes": "peak memory (GB)"}
    for ax, (what, label) in zip(axes, labels.items(), strict=True):
        for method, (marker, colour) in MARKERS.items():
            own = scores[scores["method"] == method]
            ax.plot(own["spots"], own[what], marker, color=colour, label=method, ms=5)
        ax.set(xscale="log", yscale="log", xlabel="measured spots", ylabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside upper center")
    figure.savefig(IMAGES / "growth_by_method.svg", metadata={"Date": None})


TABLES = {
    "headline": headline,
    "parts": parts,
    "test": lambda scores: by_section(scores, ("test", "repeat")),
    "tuning": lambda scores: by_section(scores, ("tuning",)),
    "rmse": rmse,
    "image": image,
    "rivals": rivals,
    "masks": masks,
    "network": network,
    "fits": fits,
    "growth": growth,
    "errors": errors,
    "costs": costs,
    "better": better,
    "genes": genes,
    "sources": sources,
}  # fmt: skip


if __name__ == "__main__":
    main()
