"""Classical answers on ten real sections, next to reference scores of an independent script.

One site in four is measured, the rest is hidden; scores are means over genes on the hidden sites. The reference of
``stack`` is that of PCA kriging. Run with
``python benchmarks/interpolation.py [--methods kriging pca_kriging] [--sections ...]``; sections are
looked for in ``$S2S_DATA_DIR``, else in ``../shared/data``.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from numpy.typing import NDArray

from s2s_scverse._predict import METHODS, CrossValidation, fit

HIDDEN_STRIDE = 2
TOLERANCE = 0.005
BINS = {
    "xenium_mouse_brain_ctxhp": 50.0,
    "xenium_breast_rep1_left": 50.0,
    "merfish_mouse_hypothalamus": 28.0,
    "slideseq_mouse_cerebellum": 60.0,
}
HEX = ("visium_mouse_brain_coronal", "visium_dlpfc_151673", "visium_breast_cancer_crop")
QUINCUNX = ("st2k_mouse_liver_CN16_E1",)
# measured, hidden, genes; PCC of nearest, linear, cubic, idw; kriging and PCA kriging: PCC, RMSE, MAE.
REFERENCE = {
    "xenium_mouse_brain_ctxhp": (
        (1353, 4010, 200), (0.4955, 0.5805, 0.5687, 0.6155), (0.6219, 0.7210, 0.5537), (0.6431, 0.7071, 0.5460)),
    "xenium_breast_rep1_left": (
        (1107, 3325, 200), (0.2615, 0.3216, 0.3141, 0.3714), (0.3788, 0.6536, 0.5099), (0.4131, 0.6433, 0.5009)),
    "merfish_mouse_hypothalamus": (
        (865, 2588, 135), (0.1115, 0.1448, 0.1362, 0.1970), (0.2182, 0.7214, 0.5768), (0.2278, 0.7195, 0.5759)),
    "slideseq_mouse_cerebellum": (
        (725, 2148, 115), (0.0473, 0.0637, 0.0627, 0.0799), (0.0848, 0.2890, 0.1851), (0.1149, 0.2877, 0.1841)),
    "visium_mouse_brain_coronal": (
        (671, 2027, 200), (0.5646, 0.6442, 0.6292, 0.6904), (0.6926, 0.6004, 0.4675), (0.7146, 0.5827, 0.4539)),
    "visium_dlpfc_151673": (
        (918, 2721, 200), (0.2144, 0.2620, 0.2423, 0.3358), (0.3895, 0.5389, 0.4317), (0.4060, 0.5350, 0.4286)),
    "visium_breast_cancer_crop": (
        (180, 529, 200), (0.4954, 0.5770, 0.5752, 0.6153), (0.6155, 0.5984, 0.4691), (0.6520, 0.5765, 0.4516)),
    "st_her2_breast_F1": (
        (174, 517, 200), (0.0468, 0.0641, 0.0580, 0.0883), (0.0991, 0.5516, 0.4492), (0.1182, 0.5487, 0.4466)),
    "st_mouse_olfactory_bulb_rep11": (
        (69, 193, 200), (0.1457, 0.2076, 0.2136, 0.2180), (0.2173, 0.6862, 0.5494), (0.2696, 0.6638, 0.5307)),
    "st2k_mouse_liver_CN16_E1": (
        (348, 1041, 200), (0.0345, 0.0450, 0.0452, 0.0503), (0.0538, 0.5507, 0.4435), (0.0739, 0.5485, 0.4417)),
}  # fmt: skip
CLASSICAL = ("nearest", "linear", "cubic", "idw")
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Measured spots with values, and hidden sites with the truth; coordinates in spot pitches."""

    spots: Float64
    values: Float32
    sites: Float64
    truth: Float32


def data_dir() -> Path:
    return Path(os.environ.get("S2S_DATA_DIR", "../shared/data"))


def load(name: str, phase: tuple[int, int] = (0, 0)) -> Task:
    adata = ad.read_h5ad(data_dir() / f"{name}.h5ad")
    counts, lattice, plane = _binned(adata, BINS[name]) if name in BINS else _on_array(adata, name)
    measured = (lattice % HIDDEN_STRIDE == phase).all(axis=1)
    total = counts.sum(axis=1)
    positive = total > 0
    counts, plane, measured, total = counts[positive], plane[positive], measured[positive], total[positive]
    values = np.log1p(counts * (np.median(total[measured]) / total)[:, None])
    seen = (counts[measured] > 0).mean(axis=0) >= 0.1
    variance = np.where(seen, values[measured].var(axis=0), -1.0)
    genes = np.argsort(-variance, kind="stable")[: min(200, int(seen.sum()))]
    values = values[:, genes].astype(np.float32)
    plane = plane / HIDDEN_STRIDE
    return Task(plane[measured], values[measured], plane[~measured], values[~measured])


def _binned(adata: ad.AnnData, width: float) -> tuple[Float64, NDArray[np.int64], Float64]:
    place = np.asarray(adata.obsm["spatial"], float)
    column_row = np.floor((place - place.min(axis=0)) / width).astype(np.int64)
    bins, member = np.unique(column_row, axis=0, return_inverse=True)
    counts = np.zeros((len(bins), adata.n_vars))
    np.add.at(counts, member.ravel(), adata.X.toarray())
    return counts, bins, bins.astype(float)


def _on_array(adata: ad.AnnData, name: str) -> tuple[Float64, NDArray[np.int64], Float64]:
    row, col = (adata.obs[key].to_numpy(np.int64) for key in ("array_row", "array_col"))
    turned = name in HEX + QUINCUNX
    lattice = np.stack([(col - row) // 2 if turned else col, row], 1)
    plane = lattice.astype(float)
    if name in HEX:
        plane = np.stack([col / 2, row * np.sqrt(3) / 2], 1)
    elif name in QUINCUNX:
        plane = np.stack([(row + col) / 2, (col - row) / 2], 1)
    return adata.X.toarray().astype(float), lattice - lattice.min(axis=0), plane


def scores(truth: Float32, predicted: Float32) -> tuple[float, float, float]:
    """Mean over genes of Pearson's r (0 for a constant map), RMSE and MAE."""
    a, b = (x.astype(float) - x.mean(axis=0, dtype=float) for x in (truth, predicted))
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    r = np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)
    error = truth.astype(float) - predicted
    return float(r.mean()), float(np.sqrt((error**2).mean(axis=0)).mean()), float(np.abs(error).mean())


def predict(method: str, task: Task) -> Float32:
    stacking = None
    if method == "stack":
        stacking = CrossValidation(method, task.spots, task.values).stacking_weights(task.sites)
    return fit(method, task.spots, task.sites, task.values, stacking=stacking).maps(task.values)[0]


def rows(
    names: list[str], methods: list[str], phase: tuple[int, int]
) -> Iterator[tuple[str, str, tuple[float, float, float], float]]:
    for name in names:
        task = load(name, phase)
        found = (len(task.spots), len(task.sites), task.values.shape[1])
        if phase == (0, 0) and found != REFERENCE[name][0]:
            print(f"{name}: measured / hidden / genes {found}, reference {REFERENCE[name][0]}")
        for method in methods:
            start = time.perf_counter()
            predicted = predict(method, task)
            yield name, method, scores(task.truth, predicted), time.perf_counter() - start


def reference(name: str, method: str, phase: tuple[int, int]) -> tuple[float | None, ...]:
    if phase != (0, 0):
        return None, None, None
    _, classical, kriging, cokriging = REFERENCE[name]
    if method in CLASSICAL:
        return classical[CLASSICAL.index(method)], None, None
    return {"kriging": kriging, "pca_kriging": cokriging, "stack": cokriging}.get(method, (None, None, None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--sections", nargs="+", default=list(REFERENCE), choices=list(REFERENCE))
    parser.add_argument("--phase", nargs=2, type=int, default=[0, 0], help="offset of the spots kept; reference: 0 0")
    arguments = parser.parse_args()
    phase = (arguments.phase[0], arguments.phase[1])
    print("| section | method | PCC | reference | difference | RMSE | reference | MAE | reference | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    below = []
    for name, method, found, seconds in rows(arguments.sections, arguments.methods, phase):
        expected = reference(name, method, phase)
        difference = None if expected[0] is None else found[0] - expected[0]
        cells = [found[0], expected[0], difference, found[1], expected[1], found[2], expected[2]]
        text = " | ".join("" if cell is None else f"{cell:.4f}" for cell in cells)
        print(f"| {name} | {method} | {text} | {seconds:.2f} |", flush=True)
        if difference is not None and difference < -TOLERANCE:
            below.append((name, method, round(difference, 4)))
    print(f"more than {TOLERANCE} below the reference: {below or 'none'}")


if __name__ == "__main__":
    main()
