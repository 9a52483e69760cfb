"""What a useless image costs in accuracy, and a large one in time and memory; what a good one adds: run.py.

``python benchmarks/image.py [--sections ...] [--seeds 0] [--preset quick]``: every second spot measured, without
covariates and with useless ones: shuffled, constant, the image shifted by two spots. PCC and RMSE without and with
them, and genes that gain and lose more than .01 in PCC.
``--slide 40000`` measures memory and seconds of the features on synthetic slides of 40,000 pixels a side (tiled
TIFF, with and without a pyramid), and of an embedding of patches (256 pixels, 1,024 columns).
"""

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import anndata as ad
import numpy as np
import tifffile
from protocol import ALL_SECTIONS, load, machine, most_variable
from skimage.color import hed2rgb

import s2s_scverse as s2s

SECTIONS = [name for name in ALL_SECTIONS if name.endswith("_he")]
USELESS = ("shuffled", "constant", "shifted")


def scores(section: ad.AnnData, genes: list[str], key: str) -> tuple[np.ndarray, float]:
    """PCC of every gene, and the mean RMSE."""
    s2s.tl.evaluate(section, key, genes=genes, n_bootstrap=1)
    table = s2s.get.evaluation_df(section)
    return table["pcc"].fillna(0).to_numpy(), float(table["rmse"].mean())


def useless(section: ad.AnnData) -> None:
    """Add covariates that tell nothing, or little."""
    s2s.pp.image_features(section)
    features = section.obsm["s2s_image"]
    section.obsm["shuffled"] = np.random.default_rng(0).permutation(features)
    section.obsm["constant"] = np.ones_like(features)
    moved = section.copy()
    moved.obsm["spatial"] = moved.obsm["spatial"] + 2 * section.uns["s2s"]["grid"]["pitch"]
    s2s.pp.image_features(moved)
    section.obsm["shifted"] = moved.obsm["s2s_image"]


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
    print("| file | sites | features | s | CPU s | GB before | peak GB |\n" + "|---" * 7 + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, factors in (("pyramid.btf", (4, 16, 64)), ("flat.tif", ())):
            write_slide(Path(folder, name), side, factors)
            for patches in (False, True) if factors else (False,):
                with get_context("spawn").Pool(1) as pool:
                    told = pool.apply(describe_slide, (Path(folder, name), side), {"patches": patches})
                print(f"| {name}{', patches' if patches else ''} | {told} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--slide", type=int)
    arguments = parser.parse_args()
    print(machine())
    if arguments.slide:
        slides(arguments.slide)
        return
    print(
        "| section | covariates | seed | PCC | with | gain | RMSE | with | genes + / - |\n" + "|---" * 9 + "|",
        flush=True,
    )
    for name in arguments.sections:
        section = load(name)
        genes = most_variable(section)
        useless(section)
        for seed in arguments.seeds:
            options = {"preset": arguments.preset, "rng": seed, "key_added": "run", "progress": False}
            s2s.tl.impute(section, genes, **options)
            plain, rmse = scores(section, genes, "run")
            for key in USELESS:
                s2s.tl.impute(section, genes, covariates=key, **options)
                own, own_rmse = scores(section, genes, "run")
                print(
                    f"| {name} | {key} | {seed} | {plain.mean():.4f} | {own.mean():.4f} | "
                    f"{100 * (own.mean() / plain.mean() - 1):+.1f} % | {rmse:.4f} | {own_rmse:.4f} | "
                    f"{(own > plain + 0.01).sum()} / {(own < plain - 0.01).sum()} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
