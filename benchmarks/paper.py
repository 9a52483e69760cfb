"""The published method (preset ``"paper"``, without its leak) on a small section: error against steps.

``python benchmarks/paper.py [--section st_mouse_olfactory_bulb_rep11] [--genes 50] [--hours 2] [--batch 4]
[--epochs 3000] [--steps 20] [--no-images]``. One network is trained for all genes (the paper trains one for each gene)
on crops of 64 sites, or the whole section if it is smaller, with fewer crops in a step than the published 16 so that
more steps are taken in the same time. Held-out spots are scored every `--every` epochs of `--steps` steps; the training
error is that of the genes, mean over the last of these epochs. The table begins with what needs no training.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from anndata import AnnData
from protocol import SECTIONS, Result, load, machine, most_variable, score
from script import print_header

import s2s_scverse as s2s
from s2s_scverse._train._checkpoint import ENTRY


class Scored(lightning.Callback):
    """Scores the network on held-out spots during training, and stops after some hours."""

    def __init__(self, section: AnnData, genes: list[str], every: int, hours: float) -> None:
        self.section, self.genes, self.every = section, genes, every
        self.stop = time.monotonic() + 3600 * hours

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Score, and stop."""
        epoch = trainer.current_epoch + 1
        trainer.should_stop = time.monotonic() > self.stop
        if epoch % self.every and not trainer.should_stop:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "weights.ckpt")
            torch.save({ENTRY: {**pl_module.run, "weights": pl_module.network.state_dict()}}, path)
            training = replace(pl_module.config, max_epochs=0, trainer_kwargs={})
            found = impute(self.section, self.genes, training, pretrained=path)
        error = sum(value for name, value in pl_module.history[-1].items() if name.startswith("loss_genes"))
        print(row(f"paper, {trainer.global_step} steps", found, f"{error:.4f}"), flush=True)
        pl_module.network.train()


def impute(section: AnnData, genes: list[str], training: s2s.tl.TrainingConfig, **keywords: Any) -> Result:
    arguments = {"preset": "paper", "training": training, "key_added": "run", "uncertainty": False, "progress": False}
    return score(section, "run", genes, lambda: s2s.tl.impute(section, genes, **arguments, **keywords))


def row(name: str, found: Result, error: str = "") -> str:
    return f"| {name} | {found.pcc:.4f} | {found.rmse:.4f} | {found.mae:.4f} | {error} | {found.seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", default="st_mouse_olfactory_bulb_rep11", choices=SECTIONS)
    parser.add_argument("--genes", type=int, default=50)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument("--no-images", action="store_true")
    arguments = parser.parse_args()
    section = load(arguments.section)
    genes = most_variable(section, arguments.genes)
    section = section[:, genes].copy()
    images = "no natural images" if arguments.no_images else "natural images"
    print(f"{machine()}; {arguments.section}, {len(genes)} genes, {arguments.batch} crops a step, {images}")
    print_header("method | PCC | RMSE | MAE | training error | seconds")
    for method in ("nearest", "linear", "cubic", "kriging", "pca_kriging", "stack"):
        found = score(section, method, genes, lambda: s2s.tl.interpolate(section, method, genes=genes))  # noqa: B023
        print(row(method, found), flush=True)
    callback = Scored(section, genes, arguments.every, arguments.hours)
    training = replace(
        s2s.tl.TRAINING_PRESETS["paper"],
        batch_size=arguments.batch,
        max_epochs=arguments.epochs,
        steps_per_epoch=arguments.steps,
        trainer_kwargs={"callbacks": [callback]},
    )
    source = None if arguments.no_images else "photographs"
    print(row("paper, at the end", impute(section, genes, training, natural_images=source)), flush=True)


if __name__ == "__main__":
    main()
