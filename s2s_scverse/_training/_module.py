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
        if not (self._optimiser_is_right() and self._stopping_is_right()):
            msg = "its optimiser, or its early stopping, is that of another training"
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
        """Go on where the interrupted run was.

        Raises
        ------
        ValueError
            If the state of its schedule has other fields: whatever is in there would become one of ours.
        """
        fields = set(self._optimiser()[1].state_dict())
        if any(set(found) != fields for found in checkpoint.get("lr_schedulers", [])):
            msg = "its schedule has other fields"
            raise ValueError(msg)
        self.kept, self.history = checkpoint["s2s"]["weights"], list(checkpoint["s2s"]["history"])

    def _optimiser_is_right(self) -> bool:
        """Whether optimiser, schedule and weights are what as many steps leave."""
        steps, config = len(self.history) * self.config.steps_per_epoch, self.config
        (optimizer,), (configured,) = self.trainer.optimizers, self.trainer.lr_scheduler_configs
        schedule = configured.scheduler
        expected = config.learning_rate * self._factor(steps)
        fixed = {name: value for name, value in optimizer.defaults.items() if name != "lr"}
        right = self.trainer.global_step == steps == schedule.last_epoch
        right &= schedule.base_lrs == [config.learning_rate]
        right &= all({name: group[name] for name in fixed} == fixed for group in optimizer.param_groups)
        right &= all(math.isclose(group["lr"], expected) for group in optimizer.param_groups)
        if not steps:
            return right and not optimizer.state
        for weights in self.network.parameters():
            state = optimizer.state[weights]
            if set(state) != {"step", "exp_avg", "exp_avg_sq"}:
                return False
            right &= float(state["step"]) == steps
            for each in (weights, state["exp_avg"], state["exp_avg_sq"]):
                right &= each.shape == weights.shape and bool(each.isfinite().all())
        return right

    def _stopping_is_right(self) -> bool:
        """Whether early stopping has counted what the history says."""
        errors = [row["validation"] for row in self.history]
        for stopping in self.trainer.early_stopping_callbacks if errors else []:
            waited = len(errors) - 1 - errors.index(min(errors))
            if (stopping.wait_count, stopping.patience) != (waited, self.config.patience):
                return False
            if not math.isclose(float(stopping.best_score), min(errors), rel_tol=1e-6):
                return False
        return True

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """Move our own containers, which lightning does not know."""
        if isinstance(batch, dict):
            return {name: self.transfer_batch_to_device(part, device, dataloader_idx) for name, part in batch.items()}
        return batch.each(lambda tensor: tensor.to(device)) if isinstance(batch, Batch) else batch

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, and its step size over training."""
        optimizer, schedule = self._optimiser()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _optimiser(self) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
        config = self.config
        optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, betas=config.betas)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)

    def _factor(self, step: int) -> float:
        """Of the step size."""
        if self.config.schedule == "constant":
            return 1.0
        warm_up, steps = self.config.steps_per_epoch, self.config.max_epochs * self.config.steps_per_epoch
        return min(1.0, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: weights.detach().cpu().clone() for name, weights in self.network.state_dict().items()}
