"""The hold-out protocol of all benchmarks, on real sections in ``$S2S_DATA_DIR`` (else ``../shared/data``).

Lattice, or bins of a given size -> every second spot along both axes is measured (or another of `MASKS`), the others
are held out -> counts are scaled to the median total of the MEASURED spots, log1p -> the 200 most variable genes among
those seen in at least a tenth of the measured spots, chosen on measured spots. Scores are means over these genes on the
held-out spots.

``sections.csv`` lists the sections: what they are used for, where they come from, and the hash of the file.
`TUNING` sections, of 2026-11-22, were looked at while methods were developed; `TEST` sections were added on 2026-11-28;
`REPEATS` add an image to the spots of a tuning section, so they are new for methods that use the image alone.
"""

import csv
import hashlib
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

import s2s_scverse as s2s
from s2s_scverse._adata import read_section

Array = NDArray[np.floating]
Covariates = tuple[Array, Array]
"""What the image shows at spots (n, k) and at sites (m, k)."""

with Path(__file__).with_name("sections.csv").open(newline="") as file:
    ALL_SECTIONS = {row["name"]: row for row in csv.DictReader(file)}
BINS = {name: float(row["bin"]) for name, row in ALL_SECTIONS.items() if row["bin"]}
TUNING, TEST, REPEATS = (
    tuple(name for name, row in ALL_SECTIONS.items() if row["role"] == role) for role in ("tuning", "test", "repeat")
)
SECTIONS = TUNING  # the default of the benchmarks of single questions
REGULAR: dict[str, dict[str, Any]] = {
    "stride 2": {"stride": 2},
    "phase 0, 1": {"stride": 2, "phase": (0, 1)},
    "phase 1, 0": {"stride": 2, "phase": (1, 0)},
    "phase 1, 1": {"stride": 2, "phase": (1, 1)},
    "half": {"fraction": 0.5, "rng": 0},
    "quarter": {"fraction": 0.25, "rng": 0},
}
"""Arguments of `pp.sparsify`: which spots are measured."""
LOST: dict[str, Callable[[Array, Array], Array]] = {
    "lost corner": lambda x, y: x + y,
    "lost stripe": lambda _, y: np.abs(y - 0.5),
    "lost hole": lambda x, y: np.hypot(x - 0.5, y - 0.5),
}
"""The fifth of the spots for which this is least is held out; x and y are ranks of the positions, from 0 to 1."""
MASKS = (*REGULAR, *LOST)


@dataclass(frozen=True)
class Result:
    """What one method did to one section."""

    pcc: float
    rmse: float
    mae: float
    seconds: float
    gigabytes: float  # largest memory of the process so far


@dataclass(frozen=True)
class Task:
    """A section as methods get it, and what they are scored against. Coordinates are in units of the spot spacing."""

    spots: Array
    values: NDArray[np.float32]  # (n_spots, n_genes), log-normalised
    totals: Array  # (n_spots,) counts of every spot over all genes
    sites: Array
    covariates: Covariates | None
    genes: list[str]
    truth: NDArray[np.float32]  # (n_sites, n_genes)
    ceiling: Array  # (n_genes,) correlation with `truth` that a prediction without error would have
    pairs: NDArray[np.intp]  # (n_pairs, 2) neighbours on the lattice, rows of spots followed by sites


def data_dir() -> Path:
    return Path(os.environ.get("S2S_DATA_DIR", Path(__file__).parent / "../../shared/data"))


def check_files(names: list[str]) -> None:
    """Exit if the file of a section is not the one that the results were computed from."""
    for name in names:
        with (data_dir() / f"{name}.h5ad").open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != ALL_SECTIONS[name]["sha256"]:
                msg = f"{name}.h5ad has another sha256 than sections.csv"
                raise SystemExit(msg)


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {torch.cpu.get_capabilities().get('cpu_name', platform.processor())}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def load(name: str, mask: str = "stride 2", **options: Any) -> ad.AnnData:
    """One section on its lattice, log-normalised; spots are held out by a mask, or by `options` of `pp.sparsify`."""
    section = load_counts(name)
    if options:
        s2s.pp.sparsify(section, **options)
    else:
        hold_out(section, mask)
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


def make_task(name: str, mask: str = "stride 2", *, image: bool = True) -> Task:
    """Hold out spots of a section; `image`: describe its image, if it has one."""
    from metrics import noise_ceiling
    from scipy.spatial import cKDTree

    section = load_counts(name)
    hold_out(section, mask)
    measured, held_out = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
    counts = section.X.tocsr()
    section.X = log_normalised(counts, measured)
    genes = most_variable(section)
    lattice = read_section(section)[1].lattice
    unit = lattice.unit_coordinates
    covariates = None
    if image and "spatial" in section.uns:
        s2s.pp.image_features(section)
        covariates = tuple(np.asarray(section.obsm["s2s_image"][rows], float) for rows in (measured, held_out))
    at = unit / lattice.spot_pitch(measured)
    columns = section.var_names.get_indexer(genes)
    return Task(
        spots=at[measured],
        values=section.X[measured][:, columns].toarray(),
        totals=np.asarray(counts[measured].sum(axis=1), float).ravel(),
        sites=at[held_out],
        covariates=covariates,
        genes=genes,
        truth=section.X[held_out][:, columns].toarray(),
        ceiling=noise_ceiling(counts[held_out], columns),
        pairs=cKDTree(np.vstack([unit[measured], unit[held_out]])).query_pairs(1.1, output_type="ndarray"),
    )


def hold_out(section: ad.AnnData, mask: str) -> None:
    """Hold out the spots of one of `MASKS`."""
    if mask in REGULAR:
        s2s.pp.sparsify(section, **REGULAR[mask])
        return
    spots = section.obs["s2s_measured"].to_numpy()
    at = read_section(section)[1].lattice.unit_coordinates[spots]
    order = LOST[mask](*(rankdata(axis.round(6)) / len(axis) for axis in at.T))
    keep = np.zeros(section.n_obs, bool)
    keep[spots] = order > np.quantile(order, 0.2)
    s2s.pp.sparsify(section, keep=keep)


def mask_digest(section: ad.AnnData) -> str:
    """First 16 digits of the sha256 of the lattice positions that are measured, and of those held out."""
    index = read_section(section)[1].lattice.index.astype("<i8")
    digest = hashlib.sha256()
    for what in ("measured", "held_out"):
        chosen = index[section.obs[f"s2s_{what}"].to_numpy()]
        digest.update(np.ascontiguousarray(chosen[np.lexsort(chosen.T[::-1])]).tobytes() + what.encode())
    return digest.hexdigest()[:16]


def digests(name: str) -> dict[str, str]:
    """Return digests of the spots of every mask of a section, and of its genes with every second spot."""
    counts = load_counts(name)
    found = {}
    for mask in MASKS:
        section = counts.copy()
        hold_out(section, mask)
        found[mask] = mask_digest(section)
        if mask == "stride 2":
            section.X = log_normalised(section.X, section.obs["s2s_measured"].to_numpy())
            genes = "\n".join(sorted(most_variable(section)))
            found["genes"] = hashlib.sha256(genes.encode()).hexdigest()[:16]
    return found


def score(section: ad.AnnData, key: str, genes: list[str], run: Callable[[], object]) -> Result:
    """Run a method that writes layer `key`, and score it."""
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    s2s.tl.evaluate(section, key, genes=genes, n_bootstrap=1)
    means = s2s.get.evaluation_df(section)[["pcc", "rmse", "mae"]].fillna(0).mean()
    return Result(means["pcc"], means["rmse"], means["mae"], seconds, memory)
