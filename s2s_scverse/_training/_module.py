"""The training plan: what lightning calls."""

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from ..nn import CDCIN
from ._batches import Batch, Term
from ._config import TrainingConfig
from ._losses import masked_error, staged_loss
from ._predict import run_stages

__all__ = ["ProcessesDifferError", "TrainingPlan"]


class ProcessesDifferError(ValueError):
    """Processes that are to train together were given different things."""


class TrainingPlan(lightning.LightningModule):
    """Trains a network on weighted terms and keeps its last weights, or the best on the spots kept aside.

    Parameters
    ----------
    network
        The network.
    terms
        What the loss is made of.
    config
        Hyper-parameters.
    run
        Identifies the run in its checkpoints, see :func:`s2s_scverse._training._checkpoint.describe`.
    """

    def __init__(self, network: CDCIN, terms: list[Term], config: TrainingConfig, run: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.weights = {term.name: term.weight for term in terms}
        self.config = config
        self.run = run
        self.history: list[dict[str, float]] = []
        self.kept: dict[str, Tensor] = self._snapshot()
        self.begun = False
        """Whether a checkpoint to go on from, if any, is read."""
        self._sums: dict[str, Tensor] = {}

    def on_fit_start(self) -> None:
        """Refuse to go on if processes that train together were given different things.

        Raises
        ------
        ProcessesDifferError
            If data, seeds, hyper-parameters or the state of the checkpoint differ; in every process.
        """
        strategy, here = self.trainer.strategy, (self.run, len(self.history))
        if not strategy.reduce_boolean_decision(strategy.broadcast(here) == here):
            msg = "processes that train together must be given the same values, spots, arguments and checkpoint"
            raise ProcessesDifferError(msg)

    def on_train_start(self) -> None:
        """Refuse to go on from a checkpoint whose parts do not go together.

        Raises
        ------
        ValueError
            If it has trained more or fewer epochs than its history has, or the optimiser is that of other weights.
        """
        if self.current_epoch != len(self.history):
            msg = f"it has trained {self.current_epoch} epochs, but its history has {len(self.history)}"
            raise ValueError(msg)
        steps = self.trainer.global_step
        (optimizer,), (schedule,) = self.trainer.optimizers, self.trainer.lr_scheduler_configs
        fixed = {name: value for name, value in optimizer.defaults.items() if name != "lr"}
        right = schedule.scheduler.base_lrs == [self.config.learning_rate] and schedule.scheduler.last_epoch == steps
        right &= all({name: group[name] for name in fixed} == fixed for group in optimizer.param_groups)
        for weights, state in optimizer.state.items():
            right &= float(state["step"]) == steps
            right &= state["exp_avg"].shape == weights.shape == state["exp_avg_sq"].shape
        if not right:
            msg = "its optimiser is that of another training"
            raise ValueError(msg)
        self.begun = True

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
        """Squared error at the spots kept aside, of the network and of its starting map."""
        last = run_stages(self.network, batch, self.config)[-1].float()
        n = batch.weight.sum()
        for name, prediction in (("validation", last), ("validation_start", batch.start)):
            error = masked_error(prediction, batch.target, batch.weight, "l2")
            # Synchronised, so that all processes stop, and keep weights, at the same epoch.
            self.log(name, error, on_epoch=True, batch_size=int(n), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Write one row of the history, and keep the weights that count so far."""
        row = {"epoch": float(self.current_epoch)}
        for name, total in self._sums.items():
            mean = self.trainer.strategy.reduce(total.to(self.device), reduce_op="mean")  # over processes
            row[f"loss_{name}"] = float(mean) / self.config.steps_per_epoch
        row |= {name: float(self.trainer.callback_metrics[name]) for name in ("validation", "validation_start")}
        best = min((earlier["validation"] for earlier in self.history), default=float("inf"))
        if self.config.keep == "last" or row["validation"] < best:
            self.kept = self._snapshot()
        self.history.append(row)
        self._sums.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what identifies the run, and what its result is made of."""
        checkpoint["s2s"] = {**self.run, "weights": self.kept, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the interrupted run was."""
        self.kept, self.history = checkpoint["s2s"]["weights"], list(checkpoint["s2s"]["history"])

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """Move our own containers, which lightning does not know."""
        if isinstance(batch, dict):
            return {name: self.transfer_batch_to_device(part, device, dataloader_idx) for name, part in batch.items()}
        return batch.each(lambda tensor: tensor.to(device)) if isinstance(batch, Batch) else batch

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and its step size over training."""
        config = self.config
        optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, betas=config.betas)
        warm_up, steps = config.steps_per_epoch, config.max_epochs * config.steps_per_epoch

        def factor(step: int) -> float:
            if config.schedule == "constant":
                return 1.0
            return min(1.0, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: weights.detach().cpu().clone() for name, weights in self.network.state_dict().items()}
