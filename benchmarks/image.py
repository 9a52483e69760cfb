"""What the image of a section adds, what a useless one costs, and what a large one takes in time and memory.

``python benchmarks/image.py [--sections ...] [--seeds 0] [--mask "stride 2"] [--preset quick] [--covariates image]``:
without and with covariates, all else equal. Columns: PCC without and with, gains, coverage of 90 % intervals with
covariates, genes that gain and lose more than .01 in PCC, the PCC of TESLA's rule, CPU seconds of the features and of
both imputations; below the table, means over sections and the genes that gain most. Covariates other than ``image`` are
useless: ``shuffled``, ``constant``, the image ``shifted`` by two spots, that of ``another`` section.
``--slide 40000`` measures memory and seconds of the features on synthetic slides of 40,000 pixels a side (tiled
TIFF, with and without a pyramid), and of an embedding of patches (256 pixels, 1,024 columns).
"""

import argparse
import resource
import tempfile
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import tifffile
from methods import tesla_rule
from protocol import ALL_SECTIONS, MASKS, load, load_counts, machine, most_variable
from script import parser, print_header, print_row
from skimage.color import hed2rgb

import s2s_scverse as s2s
from s2s_scverse._scores import pearson

SECTIONS = [name for name in ALL_SECTIONS if name.endswith("_he")]
COVARIATES = ("image", "shuffled", "constant", "shifted", "another")


def describe(section: ad.AnnData, name: str) -> float:
    """Write all covariates; return the CPU seconds that the features of the image take."""
    cpu = time.process_time()
    s2s.pp.image_features(section, key_added="image")
    cpu = time.process_time() - cpu
    features, xy = section.obsm["image"], section.obsm["spatial"]
    section.obsm["shuffled"] = np.random.default_rng(0).permutation(features)
    section.obsm["constant"] = np.ones_like(features)
    moved = section.copy()
    stride = section.uns["s2s"]["grid"]["stride"]
    moved.obsm["spatial"] = xy + 2 * stride * section.uns["s2s"]["grid"]["pitch"]
    other = load_counts(SECTIONS[SECTIONS.index(name) - 1])
    (library,) = other.uns["spatial"].values()
    image = "hires" if "hires" in library["images"] else "lowres"
    there = other.obsm["spatial"] * library["scalefactors"][f"tissue_{image}_scalef"]
    scale = np.ptp(there, axis=0) / np.ptp(xy, axis=0)  # one section is laid over the other
    fitted = np.column_stack([np.diag(scale), there.min(axis=0) - scale * xy.min(axis=0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it fits better elsewhere, or lies partly outside
        s2s.pp.image_features(moved, key_added="shifted")
        section.obsm["shifted"] = moved.obsm["shifted"]
        s2s.pp.image_features(section, library["images"][image], transform=fitted, key_added="another")
    return cpu


def run(section: ad.AnnData, genes: list[str], key: str | None, preset: str, seed: int) -> tuple[pd.DataFrame, float]:
    """Return scores of genes, and CPU seconds."""
    cpu = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that covariates fit better elsewhere
        s2s.tl.impute(section, genes, preset=preset, covariates=key, rng=seed, key_added="run", progress=False)
    cpu = time.process_time() - cpu
    s2s.tl.evaluate(section, "run", genes=genes, n_bootstrap=1)
    return s2s.get.evaluation_df(section).set_index("gene").fillna({"pcc": 0}), cpu


def tesla(section: ad.AnnData, genes: list[str]) -> float:
    """Mean PCC of TESLA's rule."""
    seen, held = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
    xy, features, values = section.obsm["spatial"], section.obsm["image"], section[:, genes].X.toarray()
    found = tesla_rule(xy[seen], values[seen], xy[held], (features[seen], features[held]), totals=seen)
    return np.nan_to_num(pearson(values[held], found)).mean()


def compare(name: str, arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.Series | None]:
    """Print and return what covariates add, a row for each and seed, and the gain in PCC of every gene."""
    section = load(name, arguments.mask)
    genes, described = most_variable(section), describe(section, name)
    rule, rows, gained = tesla(section, genes), [], []
    for seed in arguments.seeds:
        plain, cpu = run(section, genes, None, arguments.preset, seed)
        for key in arguments.covariates:
            own, own_cpu = run(section, genes, key, arguments.preset, seed)
            gain, before, after = own["pcc"] - plain["pcc"], plain.mean(numeric_only=True), own.mean(numeric_only=True)
            rows.append({"key": key, "pcc": 100 * (after["pcc"] / before["pcc"] - 1)})
            rows[-1]["rmse"] = 100 * (after["rmse"] / before["rmse"] - 1)
            gained += [gain] if key == "image" else []
            print(
                f"| {name} | {key} | {seed} | {section.obs['s2s_measured'].sum()} | {before['pcc']:.4f} | "
                f"{after['pcc']:.4f} | {rows[-1]['pcc']:+.1f} % | {rows[-1]['rmse']:+.2f} % | "
                f"{after['coverage']:.3f} | {(gain > 0.01).sum()} / {(gain < -0.01).sum()} | {rule:.4f} | "
                f"{described:.1f} | {cpu:.1f} | {own_cpu:.1f} |",
                flush=True,
            )
    return pd.DataFrame(rows), sum(gained) / len(gained) if gained else None


def write_slide(path: Path, side: int, factors: tuple[int, ...]) -> None:
    """Write levels of one tile again and again, smaller than the first by `factors`."""
    density = 0.03 + 0.15 * np.random.default_rng(0).random((32, 32)).repeat(16, axis=0).repeat(16, axis=1)
    stains = np.stack([density, np.full_like(density, 0.05), np.zeros_like(density)], axis=-1)
    tile = (np.clip(hed2rgb(stains), 0, 1) * 255).astype(np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, width in enumerate(side // factor for factor in (1, *factors)):
            file.write(
                (tile for _ in range((-(-width // 512)) ** 2)),
                shape=(width, width, 3),
                dtype=np.uint8,
                tile=(512, 512),
                compression="zlib",
                photometric="rgb",
                **({"subfiletype": 1} if number else {"subifds": len(factors)}),
            )


def embed(patches: np.ndarray) -> np.ndarray:
    """1,024 columns."""
    return np.tile(patches[:, ::8, ::8].reshape(len(patches), -1).astype(np.float32), 2)[:, :1024]


def describe_slide(path: Path, side: int, *, patches: bool) -> str:
    dense = s2s.pp.grid(s2s.datasets.simulated_tissue(lattice="hex", n_rows=76, n_cols=66, n_genes=20), upsample=1)
    place = dense.obsm["spatial"] - dense.obsm["spatial"].min(axis=0)
    dense.obsm["spatial"] = 0.025 * side + place * 0.95 * side / place.max()
    dense = s2s.pp.grid(dense[dense.obs["s2s_measured"]].copy(), upsample=1)
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    s2s.pp.image_features(dense, path, **({"extractor": embed, "patch_size": 256} if patches else {}))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return f"{dense.n_obs} | {dense.obsm['s2s_image'].shape[1]} | {wall:.0f} | {cpu:.0f} | {before:.2f} | {peak():.2f}"


def peak() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def slides(side: int) -> None:
    """Each in a process of its own."""
    print_header("file | sites | features | s | CPU s | GB before | peak GB")
    with tempfile.TemporaryDirectory() as folder:
        for name, factors in (("pyramid.btf", (4, 16, 64)), ("flat.tif", ())):
            write_slide(Path(folder, name), side, factors)
            for patches in (False, True) if factors else (False,):
                with get_context("spawn").Pool(1) as pool:
                    told = pool.apply(describe_slide, (Path(folder, name), side), {"patches": patches})
                print_row(f"{name}{', patches' if patches else ''}", told)


def main() -> None:
    options = parser(__doc__, SECTIONS)
    options.add_argument("--covariates", nargs="+", default=["image"], choices=COVARIATES)
    options.add_argument("--seeds", nargs="+", type=int, default=[0])
    options.add_argument("--mask", default="stride 2", choices=MASKS)
    options.add_argument("--preset", default="quick")
    options.add_argument("--slide", type=int)
    arguments = options.parse_args()
    print(machine())
    if arguments.slide:
        slides(arguments.slide)
        return
    print_header(
        "section | covariates | seed | spots | PCC | PCC with | gain | RMSE | coverage | genes + / - | TESLA's rule | "
        "features CPU s | CPU s | CPU s with"
    )
    found = {name: compare(name, arguments) for name in arguments.sections}
    means = pd.concat([rows for rows, _ in found.values()]).groupby("key").mean()
    print("\nmean changes in PCC and RMSE, %:", means.round(2).to_string(), sep="\n")
    for name, (_, gain) in found.items():
        if gain is not None:
            most = ", ".join(f"{gene} {value:+.2f}" for gene, value in gain.nlargest(10).items())
            print(f"{name}: {most}")


if __name__ == "__main__":
    main()
