"""What lightning calls: the training plan, and its data."""

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from ..nn import CDCIN
from ._apply import run_stages
from ._batches import Batch, Term, Windows
from ._checkpoint import ENTRY
from ._config import TrainingConfig
from ._losses import masked_error, staged_loss

__all__ = ["Batches", "TrainingPlan"]


class TrainingPlan(lightning.LightningModule):
    """Trains a network on weighted terms and keeps its last weights, or the best on the validation spots.

    Parameters
    ----------
    network
        The network.
    terms
        What the loss is made of.
    config
        Hyper-parameters.
    run
        Identifies the run in its checkpoints, see :func:`s2s_scverse._train._checkpoint.describe`.
    """

    def __init__(self, network: CDCIN, terms: list[Term], config: TrainingConfig, run: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.weights = {term.name: term.weight for term in terms}
        self.config = config
        self.run = run
        self.history: list[dict[str, float]] = []
        self.kept: dict[str, Tensor] = self._snapshot()
        self._sums: dict[str, Tensor] = {}

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Sum of the weighted terms."""
        losses = {
            name: staged_loss(run_stages(self.network, part, self.config), part.target, part.weight, self.config.loss)
            for name, part in batch.items()
        }
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros(())) + loss.detach().cpu()
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Squared error at validation spots, of the network and of the initial estimate."""
        last = run_stages(self.network, batch, self.config)[-1].float()
        n = batch.weight.sum()
        for name, prediction in (("validation", last), ("validation_start", batch.start)):
            error = masked_error(prediction, batch.target, batch.weight, "l2")
            self.log(name, error, on_epoch=True, batch_size=int(n))

    def on_validation_epoch_end(self) -> None:
        """Write one row of the history, and keep the weights to be used."""
        row = {"epoch": float(self.current_epoch)}
        for name, total in self._sums.items():
            row[f"loss_{name}"] = float(total) / self.config.steps_per_epoch
        row |= {name: float(self.trainer.callback_metrics[name]) for name in ("validation", "validation_start")}
        best = min((earlier["validation"] for earlier in self.history), default=float("inf"))
        if self.config.keep == "last" or row["validation"] < best:
            self.kept = self._snapshot()
        self.history.append(row)
        self._sums.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the identification of the run and its result so far."""
        checkpoint[ENTRY] = {**self.run, "weights": self.kept, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Resume from the interrupted run."""
        self.kept, self.history = checkpoint[ENTRY]["weights"], list(checkpoint[ENTRY]["history"])

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """Move our own containers, which lightning does not know."""
        if isinstance(batch, dict):
            return {name: self.transfer_batch_to_device(part, device, dataloader_idx) for name, part in batch.items()}
        return batch.each(lambda tensor: tensor.to(device)) if isinstance(batch, Batch) else batch

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and its step size over training."""
        config = self.config
        optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, betas=config.betas)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        """Factor of the step size."""
        if self.config.schedule == "constant":
            return 1.0
        warm_up, steps = self.config.steps_per_epoch, self.config.max_epochs * self.config.steps_per_epoch
        return min(1.0, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: weights.detach().cpu().clone() for name, weights in self.network.state_dict().items()}


class Batches(lightning.LightningDataModule):
    """Provides the crops of each epoch, and the validation spots."""

    def __init__(self, terms: list[Term], aside: list[Batch], config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self.terms, self.aside, self.config, self.seed = terms, aside, config, seed

    def train_dataloader(self) -> DataLoader[dict[str, Batch]]:
        """Crops of the current epoch."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return DataLoader(Windows(self.terms, self.config, seed=self.seed, epoch=epoch), batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Whole maps with the validation spots as targets."""
        return DataLoader(self.aside, batch_size=None)  # type: ignore[arg-type] # a list is a dataset
