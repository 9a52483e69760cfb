"""Cost of the published recipe and of the default: time per training step at the same batch, then cost per gene.

``python benchmarks/paper_vs_default.py [--batch 4] [--steps 3]``. Both networks are trained on windows of one section
(xenium_mouse_brain_ctxhp in 50 um bins, every second spot measured) in one process, in turn. The published recipe
trains 3000 epochs for every gene; one epoch of one gene on this section is one mini-batch of 16 windows. The default
trains one network for all genes. Cost per gene is arithmetic on the measured seconds.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from protocol import load, machine

import s2s_scverse as s2s
from s2s_scverse._adata import read_sections, read_values
from s2s_scverse._lattice import SectionOnLattice
from s2s_scverse._predict import CrossValidation
from s2s_scverse._train._fit import _fitting
from s2s_scverse._train._layout import choose_validation, lay_out
from s2s_scverse._train._lightning import TrainingPlan
from s2s_scverse._train._scenes import Crops, Term
from s2s_scverse.datasets import natural_images
from s2s_scverse.nn import CDCIN, PRESETS

PAPER_EPOCHS, PAPER_BATCH = 3000, 16


def seconds_per_step(section: SectionOnLattice, preset: str, batch: int, steps: int) -> float:
    """Median time of forward, backward and update, after one step to warm up."""
    training = replace(
        s2s.tl.TRAINING_PRESETS[preset], batch_size=batch, steps_per_epoch=steps + 1, masks=1, n_images=4
    )
    rng = np.random.default_rng(0)
    known = section.measured & ~choose_validation(section.measured, 0.1, rng)
    weights = CrossValidation(section, training.initial, seed=0).stacking
    source = lambda size, n, rng: natural_images(size=size, n=n, rng=rng)  # noqa: E731
    terms: dict[str, Term] = {}
    lay_out(terms, section, known, weights, training, source, rng.spawn(4))
    network = CDCIN(_fitting(PRESETS[preset], training, [section])).to(memory_format=torch.channels_last)
    plan = TrainingPlan(network, terms, [], training, {}, 0)
    optimizer = plan.configure_optimizers()["optimizer"]
    times = []
    for parts in Crops(terms, training, seed=0, epoch=0):
        start = time.perf_counter()
        loss = plan.training_step(parts, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--batch", type=int, default=4, help="windows per term and step; 16 needs 17 GB for the paper's"
    )
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    adata = load("xenium_mouse_brain_ctxhp")
    section = read_sections(adata)[0]
    section = replace(section, values=read_values(adata, section.measured, np.arange(adata.n_vars)))
    found = {name: seconds_per_step(section, name, arguments.batch, arguments.steps) for name in ("default", "paper")}
    default = s2s.tl.TRAINING_PRESETS["default"]
    steps = default.max_epochs * default.steps_per_epoch
    per_gene = {
        "default": found["default"] * (default.batch_size / arguments.batch) * steps / adata.n_vars,
        "paper": found["paper"] * (PAPER_BATCH / arguments.batch) * PAPER_EPOCHS,
    }
    print(machine())
    print(f"| recipe | s per step, {arguments.batch} windows a term | s per gene (arithmetic) |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {per_gene[name]:.3g} |")
    ratios = found["paper"] / found["default"], per_gene["paper"] / per_gene["default"]
    print(f"| paper / default | {ratios[0]:.1f} | {ratios[1]:.3g} |")


if __name__ == "__main__":
    main()
