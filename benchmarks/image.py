"""What the image of a section adds: every second spot measured, with and without covariates, all else equal.

``python benchmarks/image.py [--sections ...] [--seeds 0] [--fraction 0.5] [--preset quick] [--harm]``. Columns: PCC and
RMSE without and with the image, coverage of 90 % intervals with it, genes that gain and lose more than .01 in PCC,
TESLA's rule (mean of the ten nearest spots in x, y and scaled colour), seconds of features and of both imputations.
``--harm`` uses useless covariates instead: shuffled, constant, the image shifted by two spots.
"""

import argparse
import time

import anndata as ad
import numpy as np
from protocol import load, machine, most_variable
from scipy.spatial import cKDTree

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--fraction", type=float)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--harm", action="store_true")
    arguments = parser.parse_args()
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
