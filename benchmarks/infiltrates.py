"""Are borders of lymphoid infiltrates recovered from a quarter of the spots? Synovium of rheumatoid arthritis.

``python benchmarks/infiltrates.py [--sections ...] [--default st_ra_synovium_RA4_1]``. Every second spot along both
axes is measured, in each of the four phases. Held-out spots are classified as inside or outside an infiltrate
(``obs["infiltrate"]``, annotated on the image) without their labels, from their imputed expression: by logistic
regression on ten principal components of the 200 most variable genes, fitted to measured values and labels of the
measured spots, and by the mean of standardised lymphocyte markers, which needs no labels. Rows of scores: the nearest
and the kriged label, which know the position alone, and the measured values of the held-out spots.
"""

from collections.abc import Callable

import anndata as ad
import numpy as np
from protocol import ALL_SECTIONS, Array, load, machine, most_variable
from scipy.spatial import cKDTree
from scipy.stats import rankdata
from script import parser, print_header, print_row
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import s2s_scverse as s2s
from s2s_scverse._adata import read_section

SECTIONS = [name for name in ALL_SECTIONS if name.startswith("st_ra_synovium")]
MARKERS = ("CD79A", "MS4A1", "CD19", "CD37", "CD3D", "CD3E", "CD2", "CD52", "LTB", "CCL19", "CXCL13")
LAYERS = {
    "nearest": "nearest spot",
    "kriging": "kriging",
    "pca_kriging": "PCA kriging",
    "quick": "stack",
    "default": "default preset",
    "measured values": "measured values of the held-out spots",
}
BORDER = 1.5  # lattice pitches from the nearest spot with the other label


def regression(values: Array, inside: Array) -> Callable[[Array], Array]:
    """Fit logistic regression on principal components of measured spots."""
    steps = StandardScaler(), PCA(10, random_state=0), LogisticRegression(class_weight="balanced", max_iter=1000)
    return make_pipeline(*steps).fit(values, inside).decision_function


def marker_mean(values: Array, inside: Array) -> Callable[[Array], Array]:  # noqa: ARG001
    """Mean of the genes, standardised on measured spots."""
    scaler = StandardScaler().fit(values)
    return lambda other: scaler.transform(other).mean(axis=1)


def scores(inside: Array, at_border: Array, found: Array, fraction: float) -> list[float]:
    """AUC and balanced accuracy, of all held-out spots and of those at a border.

    The predicted infiltrate is the given fraction of the spots, those with the highest score; labels stay as they are.
    """
    binary = len(np.unique(found)) == 2
    predicted = found > (0.5 if binary else np.quantile(found, 1 - fraction))
    return [
        score(inside[rows], of[rows])
        for rows in (np.ones(len(inside), bool), at_border)
        for score, of in ((roc_auc_score, found), (balanced_accuracy_score, predicted))
    ]


def one_phase(name: str, phase: tuple[int, int], *, network: bool) -> tuple[dict[str, list[float]], list[int]]:
    """Scores of every method, and numbers of measured spots, of held-out ones and of those at a border."""
    section = load(name, phase=phase)
    measured, held_out = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
    genes = most_variable(section)
    shown = section[:, list(MARKERS)].X[measured].toarray()
    markers = [gene for gene, varies in zip(MARKERS, np.ptp(shown, axis=0) > 0, strict=True) if varies]
    inside = (section.obs["infiltrate"].astype(str) != "none").to_numpy()
    place = read_section(section)[1].lattice.unit_coordinates
    known = measured | held_out
    at_border = np.zeros(len(known), bool)
    for label in (False, True):
        here, there = known & (inside == label), known & (inside != label)
        at_border[here] = cKDTree(place[there]).query(place[here])[0] <= BORDER

    written = list(dict.fromkeys([*genes, *markers]))
    for method in ("nearest", "kriging", "pca_kriging"):
        s2s.tl.interpolate(section, method, genes=written)
    for preset in ("quick", "default")[: 1 + network]:
        s2s.tl.impute(section, written, preset=preset, key_added=preset, uncertainty=False, progress=False)
    labels = ad.AnnData(np.where(measured, inside, 0).astype(np.float32)[:, None], obs=section.obs.copy())
    labels.uns, labels.obsm = section.uns.copy(), section.obsm.copy()
    found: dict[str, Array] = {}
    for method, shown in (("nearest", "nearest label"), ("kriging", "kriged label")):
        s2s.tl.interpolate(labels, method, total_counts=None)
        found[shown] = labels.layers[method][held_out, 0]
    section.layers["measured values"] = section.X
    for title, chosen, fit in (("regression", genes, regression), ("markers", markers, marker_mean)):
        columns = section.var_names.get_indexer(chosen)
        score = fit(section.X[measured][:, columns].toarray(), inside[measured])
        for layer, shown in LAYERS.items():
            if layer in section.layers:
                values = section.layers[layer][held_out][:, columns]
                found[f"{title}: {shown}"] = score(values if isinstance(values, np.ndarray) else values.toarray())
    both = found["kriged label"], found["regression: stack"]
    found["kriged label and regression on the stack"] = sum(rankdata(each) for each in both)
    of = {
        key: scores(inside[held_out], at_border[held_out], each, inside[measured].mean()) for key, each in found.items()
    }
    return of, [int(rows.sum()) for rows in (measured, held_out, held_out & at_border)]


def main() -> None:
    options = parser(__doc__, SECTIONS)
    options.add_argument("--default", nargs="*", default=["st_ra_synovium_RA4_1"], help="also with the network")
    arguments = options.parse_args()
    print(machine())
    means: dict[str, dict[str, Array]] = {}
    for name in arguments.sections:
        phases = [one_phase(name, divmod(phase, 2), network=name in arguments.default) for phase in range(4)]
        counts = np.mean([each for _, each in phases], axis=0)
        print("{}: {:.0f} spots, {:.0f} held out, {:.0f} of them at a border".format(name, *counts), flush=True)
        for method in phases[0][0]:
            means.setdefault(method, {})[name] = np.mean([found[method] for found, _ in phases], axis=0)
    names = ["mean AUC", "balanced accuracy", "AUC at borders", "balanced accuracy at borders"]
    print_header(" | ".join(["from", *(each.removeprefix("st_ra_synovium_") for each in arguments.sections), *names]))
    for method, of in means.items():
        cells = [f"{of[name][0]:.3f} / {of[name][2]:.3f}" if name in of else "" for name in arguments.sections]
        complete = len(of) == len(arguments.sections)
        print_row(method, *cells, *(np.mean(list(of.values()), axis=0) if complete else [""] * 4))


if __name__ == "__main__":
    main()
