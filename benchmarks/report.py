"""Tables of the documentation that come from ``benchmarks/results/*.csv``, and two charts.

``python benchmarks/report.py`` rewrites what lies between ``<!-- table: NAME -->`` and ``<!-- end -->`` in
docs/benchmarks.md, docs/scaling.md and README.md, and docs/images/benchmark.svg and growth.svg. Needs no section.
Where ``results/genes.csv`` is present (`run.py` writes it), what it has is renewed in ``results/genes_ahead.csv``.

Gains are paired: method against baseline on the same section, mean over sections. Their 95 % intervals are bootstrapped
over tissues, since sections of one tissue are alike. The gap closed is the part of the way to the noise ceiling, from
the gene mean (PCC / ceiling) or from kriging: (PCC - PCC of kriging) / (ceiling - PCC of kriging).
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS, IMAGES = ROOT / "benchmarks/results", ROOT / "docs/images"
PAGES = (ROOT / "docs/benchmarks.md", ROOT / "docs/scaling.md", ROOT / "README.md")
EQUAL = ("gene mean", "nearest", "linear", "inverse distance", "kriging", "PCA kriging", "s2s")
RIVALS = ("GSTools kriging", "GPBoost", "MEFISTO")
GUIDED_RIVALS = ("TESLA's rule", "GSTools, image as drift", "GPBoost, image linear", "GPBoost, image in trees")
OURS = ("s2s", "s2s with image")
SHORT = ("kriging", "PCA kriging", *RIVALS, *OURS)
NETWORK = "s2s with network"
AHEAD = 0.01
NAMES = {name: f"**{name}**" for name in OURS}
MARKERS = {
    "kriging": ("o", "0.6"),
    "PCA kriging": ("s", "0.35"),
    "GSTools kriging": ("x", "C1"),
    "GPBoost": ("+", "C2"),
    "MEFISTO": ("v", "C4"),
    "s2s": ("D", "C0"),
    "s2s with image": ("*", "C3"),
}
IN_README = {
    "st_breast_layer1": "ST breast cancer (layer 1)",
    "st_ra_synovium_RA4_1": "ST rheumatoid synovium (RA4)",
    "verafish_mouse_hippocampus": "VeraFISH mouse hippocampus, bins",
    "visium_dlpfc_151674": "Visium human cortex (DLPFC 151674)",
    "st2k_mouse_olfactory_bulb_MOB1_he": "ST mouse olfactory bulb (MOB1)",
    "st_her2_breast_C4_he": "ST breast cancer (HER2 C4)",
    "dbit_mouse_embryo_FFPE2_he": "DBiT-seq mouse embryo",
    "visium_human_lymph_node_1000_he": "Visium human lymph node",
}
"""One section of each tissue and platform; those with an image last, since choices for images were made on them."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if (RESULTS / "genes.csv").exists():
        known = pd.read_csv(RESULTS / "genes_ahead.csv")
        known = pd.concat([known, genes_ahead()]).drop_duplicates(["section", "method"], keep="last")
        known.sort_values(["section", "method"]).to_csv(RESULTS / "genes_ahead.csv", index=False)
    scores = load()
    for page in PAGES:
        page.write_text(filled(page.read_text(), scores))
    draw(scores)
    draw_growth(scores)


def filled(page: str, scores: pd.DataFrame) -> str:
    """Return the page with its tables made anew."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{TABLES[found[2]](scores)}\n\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


def load() -> pd.DataFrame:
    """Read the scores with every second spot measured; one row per section and method."""
    table = read()
    return table[table["mask"] == "stride 2"].drop(columns="mask")


def read() -> pd.DataFrame:
    """Read the scores, means over seeds; one row per section, mask and method."""
    table = pd.read_csv(RESULTS / "scores.csv", keep_default_na=False, na_values=[""])
    trained = (table["preset"] == "default") & (table["method"] == "s2s")
    table["method"] = table["method"].mask(trained, NETWORK)
    table = table.groupby(["section", "mask", "method"], as_index=False).mean(numeric_only=True)
    sections = pd.read_csv(ROOT / "benchmarks/sections.csv").set_index("name")
    return table.join(sections[["role", "tissue", "platform"]], on="section")


def of_role(scores: pd.DataFrame, *roles: str) -> pd.DataFrame:
    return scores[scores["role"].isin(roles)]


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


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def number(value: float, digits: int, best: float = np.nan) -> str:
    """Return a number, bold if it is the best, or nothing if it is missing."""
    return "" if np.isnan(value) else f"**{value:.{digits}f}**" if value == best else f"{value:.{digits}f}"


def compared(scores: pd.DataFrame, methods: Iterable[str], score: str = "pcc", digits: int = 3) -> pd.DataFrame:
    """One row of text per section, one column per method; the highest PCC of a section is bold."""
    found = wide(scores, score)
    found = found[[method for method in methods if method in found]]
    best = found.max(axis=1) if score == "pcc" else pd.Series(np.nan, found.index)
    text = pd.DataFrame(index=found.index)
    for method in found:
        text[method] = [number(value, digits, top) for value, top in zip(found[method], best, strict=True)]
    for _, row in scores[scores["pcc"].isna()].iterrows():
        if row["section"] in text.index and row["method"] in text:
            text.loc[row["section"], row["method"]] = "stopped"
    return text


def of(scores: pd.DataFrame, method: str, score: str, digits: int = 4) -> str:
    return number(scores.loc[scores["method"] == method, score].mean(), digits)


def headline(scores: pd.DataFrame) -> str:
    """Compare on the test sections that all these methods ran on."""
    test = of_role(scores, "test")
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


STEPS = (
    ("depth, in kriging", "kriging", "kriging, no depth"),
    ("depth, in PCA kriging", "PCA kriging", "PCA kriging, no depth"),
    ("depth, in the stack", "s2s", "stack, no depth"),
    ("components: PCA kriging over kriging", "PCA kriging", "kriging"),
    ("stack over PCA kriging, both with depth", "s2s", "PCA kriging"),
    ("stack over PCA kriging, both without", "stack, no depth", "PCA kriging, no depth"),
    ("image (sections whose other phases were used included)", "s2s with image", "s2s"),
    ("network (default preset over quick)", NETWORK, "s2s"),
)


def part(scores: pd.DataFrame, method: str, baseline: str, role: str = "test") -> str:
    """Gain on the test sections, with the repeated ones for the image, or on the tuning sections."""
    repeated = ("repeat",) if (role, method) == ("test", "s2s with image") else ()
    return gain(of_role(scores, role, *repeated), method, baseline)


def parts(scores: pd.DataFrame) -> str:
    """What the stack, the depth of spots, the image and the network each add."""
    rows = [[what, *(part(scores, *pair, role) for role in ("test", "tuning"))] for what, *pair in STEPS]
    return table(["part", "test sections", "tuning sections"], rows)


def contributions(scores: pd.DataFrame) -> str:
    """PCC of what the stack is made of without the depth of spots, and what depth, image and network add."""
    pcc = wide(scores)
    found = pcc[[f"{method}, no depth" for method in ("kriging", "PCA kriging", "stack")]]
    for method, baseline in (("s2s", "stack, no depth"), ("s2s with image", "s2s"), (NETWORK, "s2s")):
        found = found.assign(**{method: pcc[method] - pcc[baseline]})
    role = scores.groupby("section")["role"].first()
    means = {f"mean, {name}": found[role == name].mean() for name in ("test", "tuning")}
    signs = dict.fromkeys(found.columns[3:], "+")
    rows = [
        [str(name), *("" if np.isnan(row[column]) else f"{row[column]:{signs.get(column, '')}.4f}" for column in found)]
        for name, row in [*found.iterrows(), *means.items()]
    ]
    return table(["section", "kriging", "PCA kriging", "stack", "depth", "image", "network"], rows)


def by_section(scores: pd.DataFrame) -> str:
    text = compared(scores, SHORT)
    numbers = scores.groupby("section")[["spots", "ceiling"]].first()
    rows = [[name, f"{numbers.spots[name]:.0f}", *row, f"{numbers.ceiling[name]:.3f}"] for name, row in text.iterrows()]
    return table(["section", "spots", *text, "ceiling"], rows)


def rmse(scores: pd.DataFrame) -> str:
    text = compared(of_role(scores, "test", "repeat"), ("gene mean", *SHORT), "rmse", 4)
    return table(["section", *text], ([name, *row] for name, row in text.iterrows()))


def image(scores: pd.DataFrame) -> str:
    """Return PCC of methods that use the image, on all sections that have one."""
    shown = scores[scores["section"].isin(scores.loc[scores["method"] == "s2s with image", "section"])]
    text = compared(shown, ("kriging", "s2s", *GUIDED_RIVALS, "s2s with image"))
    return table(["section", *text], ([name, *row] for name, row in text.iterrows()))


def rivals(scores: pd.DataFrame) -> str:
    """Compare other packages, which are not given the depth of spots, on the test sections that each ran on."""
    test = of_role(scores, "test")
    pcc, error = wide(test), wide(test, "rmse")
    rows = []
    for method in (*RIVALS, *GUIDED_RIVALS):
        other = "s2s with image" if method in GUIDED_RIVALS else "stack, no depth"
        both = pcc[[method, other]].dropna()
        means = [f"{both[name].mean():.3f} / {error.loc[both.index, name].mean():.4f}" for name in (method, other)]
        against = f"{NAMES.get(other, other)}: {means[1]}"
        rows.append([method, str(len(both)), means[0], against, gain(test, other, method)])
    return table(["method", "sections", "PCC / RMSE", "against", "gain in PCC"], rows)


def masks(_: pd.DataFrame) -> str:
    """PCC with other spots measured, means over sections; every second spot on the same ones."""
    scores = read()
    places = ("stride 2", "phase 0, 1", "phase 1, 0", "phase 1, 1", "half", "quarter")
    several = scores.groupby("section")["mask"].nunique()
    scores = scores[scores["section"].isin(several.index[several > 1])]
    rows = []
    for mask in (*places, "lost corner", "lost stripe", "lost hole"):
        own = scores[scores["mask"] == mask]
        pcc = wide(own)
        means = [f"{pcc[method].mean():.3f}" for method in ("kriging", "PCA kriging", "s2s")]
        behind = pcc.index[pcc["s2s"] < pcc["PCA kriging"]]
        gains = [gain(own, "s2s", "PCA kriging"), gain(own, "s2s with image", "s2s")]
        rows.append([mask, str(len(pcc)), *means, *gains, ", ".join(behind)])
    names = ["sections", "kriging", "PCA kriging", "s2s", "s2s over PCA kriging", "image", "PCA kriging better on"]
    return table(["mask", *names], rows)


def network(scores: pd.DataFrame) -> str:
    """PCC and RMSE without and with a network."""
    pcc, error = (wide(scores, score)[["s2s", NETWORK]].dropna() for score in ("pcc", "rmse"))
    rows = [
        [name, *(f"{value:.4f}" for value in (*pcc.loc[name], *error.loc[name])), f"{change:+.4f}"]
        for name, change in (pcc[NETWORK] - pcc["s2s"]).items()
    ]
    return table(["section", "PCC, quick", "default", "RMSE, quick", "default", "gain in PCC"], rows)


def errors(scores: pd.DataFrame) -> str:
    """Errors and smoothness: means over the test sections that a method ran on."""
    test = of_role(scores, "test")
    rows = []
    for method in (*EQUAL, *RIVALS, *GUIDED_RIVALS, "s2s with image"):
        n = test.loc[test["method"] == method, "pcc"].notna().sum()
        numbers = [of(test, method, score, 3) for score in ("crps", "coverage", "moran_bias")]
        rows.append([NAMES.get(method, method), str(n), *numbers])
    return table(["method", "sections", "CRPS", "coverage of 90 %", "Moran's I bias"], rows)


def costs(scores: pd.DataFrame) -> str:
    """CPU seconds and GB; a method without memory was stopped."""

    def cell(seconds: float, memory: float) -> str:
        stopped = f"> {seconds:.0f}" if seconds > 1 else ""
        digits = 1 if seconds >= 1 else 2
        return "" if np.isnan(seconds) else stopped if np.isnan(memory) else f"{seconds:.{digits}f} / {memory:.2f}"

    seconds, memory = wide(scores, "cpu_seconds"), wide(scores, "gigabytes")
    methods = [method for method in (*SHORT[:-1], *GUIDED_RIVALS, "s2s with image") if method in seconds]
    spots = scores.groupby("section")["spots"].first()
    rows = [
        [name, f"{spots[name]:.0f}", *(cell(seconds.loc[name, m], memory.loc[name].get(m, np.nan)) for m in methods)]
        for name in sorted(seconds.index, key=spots.__getitem__)
    ]
    return table(["CPU s / peak GB", "spots", *methods], rows)


def better(scores: pd.DataFrame) -> str:
    """List methods with a higher PCC or a lower RMSE than s2s, and sections where they have."""
    rows = []
    pairs = [(method, "s2s") for method in ("kriging", "PCA kriging", *RIVALS)]
    pairs += [(method, "stack, no depth") for method in ("kriging, no depth", "PCA kriging, no depth", *RIVALS)]
    pairs += [(method, other) for other in OURS for method in GUIDED_RIVALS]
    pairs += [("stack, no depth", "s2s"), ("s2s", "s2s with image")]
    for method, other in pairs:
        cells = [method, other]
        for score, sign in (("pcc", 1), ("rmse", -1)):
            pair = wide(scores, score)[[method, other]].dropna()
            difference = pair[method] - pair[other]
            ahead = difference[sign * difference > 0]
            names = ", ".join(f"{name} ({value:+.4f})" for name, value in ahead.items())
            cells.append(f"{len(ahead)} of {len(pair)}" + (f": {names}" if names else ""))
        rows.append(cells)
    return table(["method", "against", "PCC higher", "RMSE lower"], rows)


def genes_ahead() -> pd.DataFrame:
    """Count genes whose PCC is higher or lower than that of s2s by more than .01, by terciles of their ceiling."""
    genes = pd.read_csv(RESULTS / "genes.csv", keep_default_na=False, na_values=[""])
    genes = genes[(genes["mask"] == "stride 2") & (genes["preset"].fillna("quick") == "quick")]
    genes = genes.groupby(["section", "method", "gene"], as_index=False)[["pcc", "ceiling"]].mean()
    rows = []
    for section, found in genes.groupby("section"):
        pcc = found.pivot_table(index="gene", columns="method", values="pcc")
        ceiling = found.groupby("gene")["ceiling"].first()
        third = pd.cut(ceiling.rank(method="first"), 3, labels=["low", "medium", "high"])
        for method in ("kriging", "PCA kriging", *RIVALS, *GUIDED_RIVALS):
            other = "s2s with image" if method in GUIDED_RIVALS else "s2s"
            if not {method, other} <= set(pcc):
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
    counts = counts[counts["section"].isin(of_role(scores, "test", "repeat")["section"])]
    shown = ["genes", "ahead", "behind", *(f"ahead, {level} ceiling" for level in ("low", "medium", "high"))]
    rows = [
        [method, own["against"].iloc[0], str(len(own)), *(str(own[name].sum()) for name in shown)]
        for method in ("kriging", "PCA kriging", *RIVALS, *GUIDED_RIVALS)
        if len(own := counts[counts["method"] == method])
    ]
    header = ["method", "against", "sections", "genes", "better by .01", "worse by .01"]
    return table([*header, "better: low ceiling", "medium", "high"], rows)


def sources(_: pd.DataFrame) -> str:
    sections = pd.read_csv(ROOT / "benchmarks/sections.csv", keep_default_na=False)
    names = ["name", "role", "tissue", "platform", "source", "licence"]
    rows = [[*row[names], f"`{row['sha256'][:12]}`"] for _, row in sections.iterrows()]
    return table(["section", *names[1:], "sha256 of our file"], rows)


def readme(scores: pd.DataFrame) -> str:
    """Make the table of README: PCC of some test sections, and means over all."""
    test = of_role(scores, "test")
    pcc, first = wide(test), test.groupby("section")[["spots", "ceiling"]].first()
    methods = ["kriging", "PCA kriging", *OURS]
    rows = []
    for name, title in IN_README.items():
        values = [number(value, 3) for value in pcc.loc[name, methods]]
        rows.append([title, f"{first.spots[name]:,.0f}", *values, f"{first.ceiling[name]:.3f}"])
    means = [of(test, method, "pcc", 3) for method in methods[:3]]
    rows.append([f"mean of {len(pcc)} test sections", "", *means, "", of(test, "s2s", "ceiling", 3)])
    return table(["section", "spots used", *(NAMES.get(m, m) for m in methods), "noise ceiling"], rows)


def readme_gains(scores: pd.DataFrame) -> str:
    """Make the second table of README: what s2s gains, and what each part adds."""
    steps = (
        ("s2s over kriging", "s2s", "kriging"),
        ("s2s over PCA kriging", "s2s", "PCA kriging"),
        ("stack over PCA kriging, both without depth", "stack, no depth", "PCA kriging, no depth"),
        ("depth of the spots, in the stack", "s2s", "stack, no depth"),
        ("H&E image", "s2s with image", "s2s"),
        ("network", NETWORK, "s2s"),
    )
    rows = []
    for what, *pair in steps:
        absolute, relative, sections = part(scores, *pair).rsplit(", ", 2)
        rows.append([what, absolute, relative, sections])
    return table(["gain in PCC", "mean (95 % interval over tissues)", "relative", "higher on"], rows)


def draw(scores: pd.DataFrame) -> None:
    """Draw PCC relative to the noise ceiling for every test section."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "s2s"
    test = of_role(scores, "test")
    pcc, ceiling = wide(test), test.groupby("section")["ceiling"].first()
    order = (pcc["s2s"] / ceiling).sort_values().index
    figure, ax = plt.subplots(figsize=(7.5, 0.32 * len(order) + 1.2), layout="constrained")
    for method, (marker, colour) in MARKERS.items():
        ax.plot(pcc.loc[order, method] / ceiling[order], range(len(order)), marker, color=colour, label=method)
    ax.set(yticks=range(len(order)), yticklabels=order, xlabel="PCC / noise ceiling", xlim=(0, None))
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.3, 1))
    figure.savefig(IMAGES / "benchmark.svg", metadata={"Date": None})


SERIES = {
    "spots": ("spots", "measured spots (real sections)"),
    "sites": ("sites", "sites (simulated sections)"),
    "genes": ("n_genes", "genes (simulated sections)"),
}
"""Size that varies in a series, and its name."""


def costs_by_size(scores: pd.DataFrame) -> pd.DataFrame:
    """Costs on real sections against spots, and on simulated ones against sites and genes."""
    simulated = pd.read_csv(RESULTS / "growth.csv")
    simulated = simulated[simulated["series"].isin(SERIES)]
    simulated["method"] = simulated["method"].replace("pca_kriging", "PCA kriging")
    found = pd.concat([scores.assign(series="spots", n_genes=scores["genes"]), simulated])
    found = found[found["gigabytes"].notna() & found["cpu_seconds"].notna() & found["method"].isin(MARKERS)]
    found["size"] = [row[SERIES[row["series"]][0]] for _, row in found.iterrows()]
    return found.sort_values("size")


def exponent(own: pd.DataFrame, what: str = "cpu_seconds") -> float:
    """Exponent of a power law of the size; NaN if sizes differ less than fourfold."""
    size = own["size"]
    return float(np.polyfit(np.log(size), np.log(own[what]), 1)[0]) if size.max() > 4 * size.min() else np.nan


def span(values: pd.Series, digits: str) -> str:
    """Return the least and the largest value."""
    return " to ".join(format(end, digits) for end in sorted({values.min(), values.max()}))


def growth(scores: pd.DataFrame) -> str:
    """Ranges of time and memory, and their exponents."""
    rows = []
    found = costs_by_size(scores)
    for series in SERIES:
        for method in MARKERS:
            own = found[(found["series"] == series) & (found["method"] == method)]
            if own.empty:
                continue
            cells = [span(own["size"], ",.0f"), str(len(own))]
            for what in ("cpu_seconds", "gigabytes"):
                cells += [span(own[what], ".2f"), number(exponent(own, what), 2)]
            steps = [] if series == "spots" else np.diff(np.log(own[["size", "cpu_seconds"]]), axis=0)
            cells.append(", ".join(f"{change / step:.2f}" for step, change in steps))
            rows.append([series, NAMES.get(method, method), *cells])
    return table(
        ["against", "method", "sizes", "runs", "CPU s", "exponent", "peak GB", "exponent", "CPU s, between sizes"], rows
    )


def growth_of_s2s(scores: pd.DataFrame) -> str:
    """Every run of this package on simulated sections."""
    found = costs_by_size(scores)
    found = found[(found["method"] == "s2s") & (found["series"] != "spots")].drop_duplicates(["sites", "n_genes"])
    shown = {"sites": ",.0f", "n_genes": ",.0f", "cpu_seconds": ".1f", "gigabytes": ".2f", "layers": ".2f"}
    found = found.sort_values(["sites", "n_genes"])
    rows = [[format(row[name], digits) for name, digits in shown.items()] for _, row in found.iterrows()]
    return table(["sites", "genes", "CPU s", "peak GB", "layers GB"], rows)


def draw_growth(scores: pd.DataFrame) -> None:
    """Draw CPU time and memory against spots, sites and genes, with fitted powers."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "s2s"
    figure, axes = plt.subplots(2, 3, figsize=(9.5, 6), layout="constrained", sharex="col", sharey="row")
    labels = {"cpu_seconds": "CPU time (s)", "gigabytes": "peak memory (GB)"}
    found = costs_by_size(scores)
    for (what, label), row in zip(labels.items(), axes, strict=True):
        row[0].set_ylabel(label)
        for (series, (_, xlabel)), ax in zip(SERIES.items(), row, strict=True):
            ax.set(xscale="log", yscale="log", xlabel=xlabel if what == "gigabytes" else "")
            for method, (marker, colour) in MARKERS.items():
                own = found[(found["series"] == series) & (found["method"] == method)]
                power = exponent(own, what) if len(own) else np.nan
                ax.plot(own["size"], own[what], marker, color=colour, ms=5, label=number(power, 2) or "_")
                if np.isfinite(power):
                    middle = np.log(own[[what, "size"]]).mean()
                    fitted = np.exp(middle[what] + power * (np.log(own["size"]) - middle["size"]))
                    ax.plot(own["size"], fitted, color=colour, lw=1)
            ax.set_ylim(top=found[what].max() * (100 if what == "cpu_seconds" else 5))  # room for the exponents
            ax.legend(title="exponent", fontsize=7, title_fontsize=7, frameon=False, loc="upper left", ncols=2)
    handles = [plt.Line2D([], [], marker=marker, color=colour, ls="") for marker, colour in MARKERS.values()]
    figure.legend(handles, MARKERS, frameon=False, ncols=4, loc="outside upper center")
    figure.savefig(IMAGES / "growth.svg", metadata={"Date": None})


TABLES = {
    "headline": headline,
    "parts": parts,
    "contributions": contributions,
    "test": lambda scores: by_section(of_role(scores, "test", "repeat")),
    "tuning": lambda scores: by_section(of_role(scores, "tuning")),
    "rmse": rmse,
    "image": image,
    "rivals": rivals,
    "masks": masks,
    "network": network,
    "growth": growth,
    "growth_of_s2s": growth_of_s2s,
    "errors": errors,
    "costs": costs,
    "better": better,
    "genes": genes,
    "sources": sources,
    "readme": readme,
    "readme_gains": readme_gains,
}


if __name__ == "__main__":
    main()
