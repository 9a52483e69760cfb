"""What the image of a section adds: every second spot measured, with and without covariates, all else equal.

``python benchmarks/image.py [--sections ...] [--seeds 0] [--fraction 0.5] [--preset quick] [--harm]``. Columns: PCC and
RMSE without and with the image, coverage of 90 % intervals with it, genes that gain and lose more than .01 in PCC,
TESLA's rule (mean of the ten nearest spots in x, y and scaled colour), seconds of features and of both imputations.
``--harm`` uses useless covariates instead: shuffled, constant, the image shifted by two spots.
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
from protocol import load, machine, most_variable
from scipy.spatial import cKDTree
from skimage.color import hed2rgb

import s2s_scverse as s2s

SECTIONS = (
    "st_her2_breast_B4_he",
    "st_her2_breast_C2_he",
    "st_her2_breast_C4_he",
    "st2k_mouse_olfactory_bulb_MOB1_he",
    "dbit_mouse_embryo_FFPE2_he",
    "visium_human_lymph_node_1000_he",
    "visium_mouse_brain_coronal_he",
    "visium_dlpfc_151673_he",
)


def scores(section: ad.AnnData, genes: list[str], key: str) -> tuple[np.ndarray, float]:
    """PCC of every gene, and the mean RMSE."""
    s2s.tl.evaluate(section, key, genes=genes, n_bootstrap=1)
    table = s2s.get.evaluation_df(section)
    return table["pcc"].fillna(0).to_numpy(), float(table["rmse"].mean())


def coverage(section: ad.AnnData, genes: list[str], key: str) -> float:
    held = section.obs["s2s_held_out"].to_numpy()
    lower, upper = (end[held] for end in s2s.get.interval(section, 0.9, key=key, genes=genes))
    truth = section[held, genes].X.toarray()
    return float(((truth >= lower) & (truth <= upper)).mean())


def tesla(section: ad.AnnData, genes: list[str]) -> float:
    """Mean PCC of the mean of the ten nearest spots in x, y and colour, the latter scaled to the spread of x and y."""
    place = section.obsm["spatial"] - section.obsm["spatial"].mean(axis=0)
    features = section.obsm["s2s_image"][:, 0].astype(float)
    colour = (features - features.mean()) / features.std() * place.std(axis=0).max()
    at = np.column_stack([place, colour])
    seen, held = (section.obs[f"s2s_{what}"].to_numpy() for what in ("measured", "held_out"))
    nearest = cKDTree(at[seen]).query(at[held], k=10)[1]
    found, truth = section[seen, genes].X.toarray()[nearest].mean(axis=1), section[held, genes].X.toarray()
    return float(np.mean([np.nan_to_num(np.corrcoef(a, b)[0, 1]) for a, b in zip(found.T, truth.T, strict=True)]))


def useless(section: ad.AnnData) -> None:
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
    parser.add_argument("--fraction", type=float)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--harm", action="store_true")
    parser.add_argument("--slide", type=int)
    arguments = parser.parse_args()
    if arguments.slide:
        print(machine())
        slides(arguments.slide)
        return
    print(f"{machine()}; preset {arguments.preset}, measured: {arguments.fraction or 'every second spot'}")
    columns = (
        "section | covariates | seed | spots | PCC | with | gain | RMSE | with | gain | coverage | genes + / - | TESLA"
    )
    print(f"| {columns} | features s | impute s | with s |\n" + "|---" * 16 + "|", flush=True)
    gains: dict[str, list[float]] = {}
    for name in arguments.sections:
        section = load(name, fraction=arguments.fraction)
        genes = most_variable(section)
        start = time.perf_counter()
        s2s.pp.image_features(section)
        described = time.perf_counter() - start
        if arguments.harm:
            useless(section)
        for seed in arguments.seeds:
            found, seconds = {}, {}
            for key in (None, *(("shuffled", "constant", "shifted") if arguments.harm else ("s2s_image",))):
                start = time.perf_counter()
                s2s.tl.impute(
                    section, genes, preset=arguments.preset, covariates=key, rng=seed, key_added="run", progress=False
                )
                seconds[key] = time.perf_counter() - start
                found[key] = scores(section, genes, "run")
                if key is None:
                    continue
                (plain, rmse), (own, own_rmse) = found[None], found[key]
                gain = own.mean() / plain.mean() - 1
                gains.setdefault(key, []).append(gain)
                print(
                    f"| {name} | {key} | {seed} | {section.obs['s2s_measured'].sum()} | {plain.mean():.4f} | "
                    f"{own.mean():.4f} | {100 * gain:+.1f} % | {rmse:.4f} | {own_rmse:.4f} | "
                    f"{100 * (own_rmse / rmse - 1):+.2f} % | {coverage(section, genes, 'run'):.3f} | "
                    f"{(own > plain + 0.01).sum()} / {(own < plain - 0.01).sum()} | {tesla(section, genes):.4f} | "
                    f"{described:.1f} | {seconds[None]:.1f} | {seconds[key]:.1f} |",
                    flush=True,
                )
    for key, values in gains.items():
        print(f"{key}: mean gain in PCC {100 * np.mean(values):+.2f} %")


if __name__ == "__main__":
    main()
