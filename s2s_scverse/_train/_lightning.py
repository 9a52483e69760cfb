"""Training with lightning: the training plan, and checkpoints after every epoch."""

import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

from .._progress import Progress
from ..nn import CDCIN
from ._apply import in_bfloat16, run_stages
from ._checkpoint import ENTRY
from ._config import Loss, TrainingConfig
from ._scenes import Batch, Crops, Term


def masked_error(prediction: Tensor, target: Tensor, weight: Tensor, kind: Loss) -> Tensor:
    """Mean error over sites, weighted; all of one shape. Huber's is squared below 1 and absolute beyond."""
    if kind == "l1":
        error = (prediction - target).abs()
    elif kind == "l2":
        error = (prediction - target).square()
    else:
        error = F.smooth_l1_loss(prediction, target, reduction="none")
    return (error * weight).sum() / weight.sum().clamp_min(1)


def staged_loss(stages: Tensor, target: Tensor, weight: Tensor, kind: Loss) -> Tensor:
    """Mean error (of B, 1, H, W) of every stage k = 1 ... K of (K, B, 1, H, W), weighted k/K and summed."""
    n = len(stages)
    errors = [masked_error(stage.float(), target, weight, kind) * (k / n) for k, stage in enumerate(stages, start=1)]
    return torch.stack(errors).sum()


class TrainingPlan(lightning.LightningModule):
    """Trains a network on crops of weighted terms, and validates it on whole maps with validation spots as targets.

    `run` identifies the run in its checkpoints, see `describe`.
    """

    def __init__(
        self,
        network: CDCIN,
        terms: dict[str, Term],
        validation: list[Batch],
        config: TrainingConfig,
        run: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.terms, self.validation = network, terms, validation
        self.config, self.run, self.seed = config, run, seed
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}

    def train_dataloader(self) -> DataLoader[dict[str, Batch]]:
        """Crops of the current epoch."""
        return DataLoader(Crops(self.terms, self.config, seed=self.seed, epoch=self.current_epoch), batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Whole maps."""
        return DataLoader(self.validation, batch_size=None)  # type: ignore[arg-type] # a list is a dataset

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Sum of the weighted terms."""
        losses = {
            name: staged_loss(run_stages(self.network, part, self.config), part.target, part.weight, self.config.loss)
            for name, part in batch.items()
        }
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros(())) + loss.detach().cpu()
        return torch.stack([self.terms[name].weight * loss for name, loss in losses.items()]).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Squared error at validation spots, of the network and of the initial estimate."""
        last = run_stages(self.network, batch, self.config)[-1].float()
        n = int(batch.weight.sum())
        for name, prediction in (("validation", last), ("validation_start", batch.start)):
            error = masked_error(prediction, batch.target, batch.weight, "l2")
            self.log(name, error, on_epoch=True, batch_size=n)

    def on_validation_epoch_end(self) -> None:
        """Write one row of the history."""
        row = {"epoch": float(self.current_epoch)}
        for name, total in self._sums.items():
            row[f"loss_{name}"] = float(total) / self.config.steps_per_epoch
        row |= {name: float(self.trainer.callback_metrics[name]) for name in ("validation", "validation_start")}
        self.history.append(row)
        self._sums.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the identification of the run and its result so far."""
        found = {"weights": self.network.state_dict(), "history": self.history, "version": version("s2s-scverse")}
        checkpoint[ENTRY] = self.run | found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Resume from the interrupted run."""
        self.history = list(checkpoint[ENTRY]["history"])

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


class EveryEpoch(Checkpoint):
    """Reports an epoch and, with a `path`, saves a checkpoint.

    It is written beside the path and then renamed, so that a complete one exists whenever the process is killed.
    Lightning's own :class:`ModelCheckpoint` deletes what the file that it resumes from names as its predecessor.
    """

    def __init__(self, path: Path | None, progress: Progress) -> None:
        self._path, self._progress = path, progress

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin, possibly after the last epoch of an earlier run."""
        self._progress.begin("training", trainer.max_epochs or 0, done=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Report the error at validation spots, and save."""
        metrics = trainer.callback_metrics
        ratio = float(metrics["validation"] / metrics["validation_start"])
        self._progress.step(f"relative error {ratio:.3f}")
        if self._path is None:
            return
        partial = Path(f"{self._path}.partial")
        try:
            trainer.save_checkpoint(partial)
            partial.replace(self._path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            msg = f"the checkpoint {self._path} could not be written: {error.strerror or error}"
            raise OSError(error.errno, msg) from error


def train(
    plan: TrainingPlan,
    *,
    device: torch.device,
    checkpoint: str | PathLike[str] | None,
    found: dict[str, Any] | None,
    progress: Progress,
) -> None:
    """Train the plan's network, or resume from the content `found` of the checkpoint."""
    training, path = plan.config, None if checkpoint is None else Path(checkpoint)
    if found is not None and len(found["history"]) >= training.max_epochs:
        plan.on_load_checkpoint({ENTRY: found})
        plan.network.load_state_dict(found["weights"])
        return
    more = dict(training.trainer_kwargs)
    arguments: dict[str, Any] = {
        "accelerator": device.type,
        "devices": 1 if device.index is None or device.type == "cpu" else [device.index],
        "precision": "bf16-mixed" if in_bfloat16(training, device) else "32-true",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=training.max_epochs,
            reload_dataloaders_every_n_epochs=1,
            callbacks=[*more.pop("callbacks", []), EveryEpoch(path, progress)],
            **arguments | more,
        )
        try:
            trainer.fit(plan, ckpt_path=None if found is None else path, weights_only=True)
        except SIGTERMException:
            # Lightning has finished the step; the process would end with exit code 0, as if all had been done.
            signal.raise_signal(signal.SIGTERM)
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute lightning's log and warnings, and turn its exit upon Ctrl-C back into a KeyboardInterrupt."""
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning")
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    on_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        if on_main_thread and handler is not None:
            signal.signal(signal.SIGINT, handler)
