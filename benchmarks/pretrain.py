"""Learn the weights that ship with the package from simulated sections: sparse -> dense with known truth.

``python benchmarks/pretrain.py [--sections 200] [--epochs 300] [--output s2s_scverse/nn/simulated.npz]``. No real
section is used. A section mixes cell types whose abundance follows layers, discs, smooth and fractal noise, dead
leaves or photographs (:func:`s2s_scverse.datasets.natural_images`), on a square or hexagonal lattice, with counts from
shallow to deep. A quarter of its sites, or a random fraction, is measured. The network sees what it sees in
:func:`s2s_scverse.tl.impute`, and its target at the other sites is the expected value of the normalised expression.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from protocol import log_normalised, machine
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import csr_matrix

import s2s_scverse as s2s
from s2s_scverse._adata import read_inputs
from s2s_scverse._predict import CrossValidation, section_noise_weights
from s2s_scverse._progress import SILENT
from s2s_scverse._train._apply import whole_maps
from s2s_scverse._train._lightning import TrainingPlan, train
from s2s_scverse._train._scenes import Masks, Scale, Scene, Term, build_scene
from s2s_scverse.datasets import natural_images
from s2s_scverse.nn import CDCIN
from s2s_scverse.nn._cdcin import SIMULATED

N_GENES, REPLICATES = 60, 16
PATTERNS = ("leaves", "smooth", "photograph", "layers", "discs")
TRAINING = s2s.tl.TrainingConfig(weights="random", crop=40, batch_size=16, max_epochs=300, masks=1)


def pattern(kind: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """An image of mean 0 and standard deviation 1."""
    y, x = np.indices(size)
    if kind == "leaves":  # dead leaves or fractal noise
        images = [draw(size, child) for draw, child in zip((fractal_noise, dead_leaves), rng.spawn(2), strict=True)]
        image = images[rng.integers(2)]
    elif kind == "photograph":
        image = natural_images(size=size, n=1, rng=rng)[0]
    elif kind == "smooth":
        image = gaussian_filter(rng.standard_normal(size), rng.uniform(1.5, 12), mode="wrap")
    elif kind == "layers":
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(5, 14)
        bent = 0.35 * length * gaussian_filter(rng.standard_normal(size), length, mode="reflect")
        depth = (np.cos(angle) * x + np.sin(angle) * y) / min(size) + bent
        cuts = np.sort(rng.uniform(depth.min(), depth.max(), rng.integers(2, 9)))
        image = rng.standard_normal(len(cuts) + 1)[np.searchsorted(cuts, depth)]
    else:
        image = np.zeros(size)
        for _ in range(rng.integers(3, 25)):
            radius, centre = rng.uniform(1.0, 6), rng.uniform(0, 1, 2) * size
            disc = np.hypot(y - centre[0], x - centre[1]) < radius
            image = np.maximum(image, disc * rng.uniform(0.5, 1))
    image = image - image.mean()
    return image / max(image.std(), 1e-6)


def fractal_noise(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw noise with an amplitude proportional to frequency to the power -1 to -1.8, (height, width), in [0, 1].

    The exponent of photographs is about -1 (Field 1987). Cropping from twice the size avoids periodic edges.
    """
    height, width = 2 * size[0], 2 * size[1]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency ** -rng.uniform(1.0, 1.8)
    noise = np.fft.irfft2(spectrum, s=(height, width))[: size[0], : size[1]]
    noise -= noise.min()
    return np.asarray(noise / (noise.max() or 1.0), np.float32)


def dead_leaves(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw overlapping discs of uniform grey, (height, width), in [0, 1].

    The density of radii r is proportional to r^-3 between 1.5 pixels and a third of the shorter side, which makes the
    image scale-invariant (Lee, Mumford and Huang 2001). Discs occlude later ones; pixels are averages of 2 x 2.
    """
    height, width = 2 * size[0], 2 * size[1]
    smallest = 3.0
    largest = max(min(height, width) / 3, smallest + 1)
    image = np.full((height, width), rng.uniform())
    empty = np.ones((height, width), dtype=bool)
    # The discs cover twenty times the area.
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    n_discs = int(20 * height * width / mean_area) + 1
    radius = (smallest**-2 - rng.uniform(size=n_discs) * (smallest**-2 - largest**-2)) ** -0.5
    centre = rng.uniform(-largest, [height + largest, width + largest], size=(n_discs, 2))
    grey = rng.uniform(size=n_discs)
    top, left = np.maximum(np.floor(centre - radius[:, None]), 0).astype(int).T
    bottom, right = np.ceil(centre + radius[:, None]).astype(int).T
    for i in np.flatnonzero((bottom > top) & (right > left)):
        box = np.s_[top[i] : bottom[i], left[i] : right[i]]
        free = empty[box]
        if not free.any():
            continue
        y = np.arange(top[i], top[i] + free.shape[0])[:, None] - centre[i, 0]
        x = np.arange(left[i], left[i] + free.shape[1]) - centre[i, 1]
        new = free & (y**2 + x**2 <= radius[i] ** 2)
        image[box][new] = grey[i]
        free[new] = False
    return np.asarray(image.reshape(size[0], 2, size[1], 2).mean(axis=(1, 3)), np.float32)


def simulate(seed: int) -> tuple[ad.AnnData, np.ndarray]:
    """A section on its lattice, log-normalised, and the expected values, (n_obs, n_genes)."""
    rng = np.random.default_rng([20261128, seed])
    side = rng.integers(28, 60, size=2)
    if seed % 2:
        rows, cols = np.nonzero(np.indices((side[0], 2 * side[1])).sum(axis=0) % 2 == 0)
        place = np.column_stack([cols * 0.5, rows * 0.75**0.5])
    else:
        rows, cols = np.nonzero(np.ones(side))
        place = np.column_stack([cols, rows]).astype(float)
    size = tuple((np.ceil(place.max(axis=0)).astype(int) + 2)[::-1].tolist())
    if rng.random() < 0.7:  # an irregular outline
        outline = gaussian_filter(rng.standard_normal(size), 8, mode="reflect")
        centred = (place - place.mean(axis=0)) / np.ptp(place, axis=0)
        inside = np.hypot(*centred.T) + 3 * map_coordinates(outline, place.T[::-1], order=1) < rng.uniform(0.45, 0.8)
        if inside.sum() >= 500:
            rows, cols, place = rows[inside], cols[inside], place[inside]
    zoom = rng.choice([0.6, 1.0, 1.0, 1.6])
    large = tuple(int(extent * max(zoom, 1)) + 2 for extent in size)

    def at_sites(kind: str) -> np.ndarray:
        return map_coordinates(pattern(kind, large, rng), place.T[::-1] * zoom, order=1, mode="reflect")

    n_types = int(rng.integers(3, 13))
    kinds = rng.choice(PATTERNS, size=n_types, p=rng.dirichlet(np.full(len(PATTERNS), 0.7)))
    logits = rng.uniform(0.6, 2.5) * np.stack([at_sites(kind) for kind in kinds], axis=1) + rng.normal(0, 0.7, n_types)
    logits += rng.uniform(0, 0.8) * rng.standard_normal(logits.shape)
    cells = np.exp(logits - logits.max(axis=1, keepdims=True))
    cells /= cells.sum(axis=1, keepdims=True)
    if rng.random() < 0.8:  # a site holds a few cells
        cells = rng.multinomial(1 + rng.poisson(rng.integers(1, 25), len(place)), cells) + 0.02
        cells /= cells.sum(axis=1, keepdims=True)
    marked = rng.random((n_types, N_GENES)) < rng.uniform(0.2, 1)
    rate = cells @ np.exp(rng.normal(0, rng.uniform(0.4, 1.5), (n_types, N_GENES)) * marked)
    for gene in np.flatnonzero(rng.random(N_GENES) < 0.35):  # a pattern of its own
        rate[:, gene] *= np.exp(rng.uniform(0.2, 1) * at_sites(rng.choice(PATTERNS)))
    rate *= np.exp(rng.normal(0, 1, N_GENES)) / rate.mean(axis=0)
    library = np.exp(rng.uniform(np.log(60), np.log(6000)) + rng.uniform(0, 0.4) * at_sites("smooth"))
    library *= np.exp(rng.uniform(0, 0.5) * rng.standard_normal(len(place)))
    expected, dispersion = library[:, None] * rate / rate.sum(axis=1).mean(), rng.uniform(0.02, 0.4)

    def draw() -> np.ndarray:
        return rng.poisson(rng.gamma(1 / dispersion, expected * dispersion)).astype(np.float32)

    names = [f"spot_{number}" for number in range(len(place))]
    obs = pd.DataFrame({"array_row": rows, "array_col": cols}, index=names)
    section = ad.AnnData(csr_matrix(draw()), obs=obs)
    section.obsm["spatial"] = place * 100
    section = s2s.pp.grid(section, upsample=1)
    if rng.random() < 0.75:
        s2s.pp.sparsify(section, phase=(int(rng.integers(2)), int(rng.integers(2))))
    else:
        s2s.pp.sparsify(section, fraction=float(rng.uniform(0.2, 0.5)), rng=seed)
    measured = section.obs["s2s_measured"].to_numpy()
    totals = np.asarray(section.X.sum(axis=1)).ravel()
    section.X = log_normalised(section.X, measured)
    mean = np.zeros_like(expected)
    for _ in range(REPLICATES):
        counts = draw()
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        mean += np.log1p(counts * np.median(totals[measured]) / total) / REPLICATES
    at = obs.index.get_indexer(section.obs_names)
    return section, np.where((at >= 0)[:, None], mean[at], np.nan)


def scene_of(seed: int) -> Scene:
    """What the network is shown of a simulated section."""
    section, expected = simulate(seed)
    placed = read_inputs(
        section,
        np.ones(section.n_vars, bool),
        layer=None,
        max_distance=None,
        total_counts="auto",
        denoise=False,
        n_informative=N_GENES,
    ).sections[0]
    # All genes are informative but constant ones, in the order of the section.
    values = section.X[section.obs["s2s_measured"].to_numpy()].toarray()
    expected = expected[:, np.ptp(values, axis=0) > 0]
    seen = (values[:, np.ptp(values, axis=0) > 0] > 0).mean(axis=0) >= 0.1
    placed, expected = replace(placed, values=placed.values[:, seen]), expected[:, seen]  # noqa: PD011 - no DataFrame
    weights = CrossValidation(placed, "stack", seed=seed).stacking
    scale = Scale.of(placed.values, None)
    truth = scale.apply(expected[placed.rows].astype(np.float32))
    known = np.isfinite(truth).all(axis=1)
    truth[placed.measured] = scale.apply(placed.values)
    noise = np.ones(len(truth))
    noise[placed.measured] = section_noise_weights(placed, placed.measured)
    return build_scene(
        Masks(placed.lattice, known, placed.measured[None]),
        truth[known],
        np.empty((len(truth), 0), np.float32),
        chosen=np.arange(truth.shape[1]),
        training=TRAINING,
        stacking=weights,
        spread=scale.spread,
        noise_weights=noise[known],
        orientations=placed.lattice.kind.symmetries,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=TRAINING.max_epochs)
    parser.add_argument("--output", default="s2s_scverse/nn/simulated.npz")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.sections} simulated sections, {arguments.epochs} epochs of 20 steps")
    scenes = [scene_of(seed) for seed in range(arguments.sections + 8)]
    watched = []
    for scene in scenes[arguments.sections :]:
        hidden = scene.known[:1] * (1 - scene.visible)
        watched += whole_maps(scene, hidden)
    training = replace(TRAINING, max_epochs=arguments.epochs)
    torch.manual_seed(0)
    network = CDCIN(SIMULATED).to(memory_format=torch.channels_last)
    terms = {"simulated": Term(scenes[: arguments.sections], images=False, weight=1.0)}
    plan = TrainingPlan(network, terms, watched, training, {}, 0)
    cpu = torch.device("cpu")
    train(plan, device=cpu, checkpoint=None, found=None, progress=SILENT)
    for row in plan.history[9::10]:
        print(f"epoch {row['epoch']:.0f}: error / stack's {row['validation'] / row['validation_start']:.4f}")
    np.savez_compressed(arguments.output, **{name: array.numpy() for name, array in plan.network.state_dict().items()})
    print(f"{arguments.output}: {Path(arguments.output).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
