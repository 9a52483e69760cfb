"""The hold-out protocol of all benchmarks, on real sections in ``$S2S_DATA_DIR`` (else ``../shared/data``).

Lattice, or bins of a given size -> every second spot along both axes is measured (or a random fraction), the others are
held out -> counts are scaled to the median total of the MEASURED spots, log1p -> the 200 most variable genes among
those seen in at least a tenth of the measured spots, chosen on measured spots. Scores are means over these genes on the
held-out spots.
"""

import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import torch
from scipy.sparse import csr_matrix

import s2s_scverse as s2s

__all__ = [
    "BINS",
    "SECTIONS",
    "Result",
    "data_dir",
    "load",
    "load_counts",
    "log_normalised",
    "machine",
    "most_variable",
    "score",
]

BINS = {
    "xenium_mouse_brain_ctxhp": 50.0,
    "xenium_breast_rep1_left": 50.0,
    "merfish_mouse_hypothalamus": 28.0,
    "slideseq_mouse_cerebellum": 60.0,
}
SECTIONS = (
    *BINS,
    "visium_mouse_brain_coronal",
    "visium_dlpfc_151673",
    "visium_breast_cancer_crop",
    "st_her2_breast_F1",
    "st_her2_breast_B4_he",
    "st_mouse_olfactory_bulb_rep11",
    "st2k_mouse_liver_CN16_E1",
)


@dataclass(frozen=True)
class Result:
    """What one method did to one section."""

    pcc: float
    rmse: float
    mae: float
    seconds: float
    gigabytes: float
    """Largest memory of the process so far."""


def data_dir() -> Path:
    return Path(os.environ.get("S2S_DATA_DIR", Path(__file__).parent / "../../shared/data"))


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {torch.cpu.get_capabilities().get('cpu_name', platform.processor())}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def load(name: str, *, fraction: float | None = None, phase: tuple[int, int] = (0, 0), rng: int = 0) -> ad.AnnData:
    """One section on its lattice, most spots held out, log-normalised."""
    section = load_counts(name)
    s2s.pp.sparsify(section, fraction=fraction, phase=phase, rng=rng)
    section.X = log_normalised(section.X, section.obs["s2s_measured"].to_numpy())
    return section


def load_counts(name: str) -> ad.AnnData:
    """Counts of one section on its lattice, all spots measured."""
    counts = ad.read_h5ad(data_dir() / f"{name}.h5ad")
    counts = counts[np.asarray(counts.X.sum(axis=1)).ravel() > 0].copy()
    return s2s.pp.grid(counts, upsample=1, bin_size=BINS.get(name))


def log_normalised(counts: csr_matrix, measured: np.ndarray) -> csr_matrix:
    """Scale spots to the median total of the measured ones, and take log1p."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    factor = np.divide(np.median(total[measured]), total, out=np.zeros_like(total), where=total > 0)
    values = counts.multiply(factor[:, None]).tocsr()
    values.data = np.log1p(values.data).astype(np.float32)
    return values


def most_variable(section: ad.AnnData, n: int = 200) -> list[str]:
    """Names of the genes that are scored."""
    values = section.X[np.flatnonzero(section.obs["s2s_measured"])].toarray()
    seen = (values > 0).mean(axis=0) >= 0.1
    order = np.argsort(-np.where(seen, values.var(axis=0, dtype=np.float64), -1), kind="stable")
    return section.var_names[order[: min(n, int(seen.sum()))]].tolist()


def score(section: ad.AnnData, key: str, genes: list[str], run: Callable[[], object]) -> Result:
    """Run a method that writes layer `key`, and score it."""
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    s2s.tl.evaluate(section, key, genes=genes, n_bootstrap=1)
    means = s2s.get.evaluation_df(section)[["pcc", "rmse", "mae"]].fillna(0).mean()
    return Result(means["pcc"], means["rmse"], means["mae"], seconds, memory)
