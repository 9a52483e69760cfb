"""Running lightning."""

import signal
from os import PathLike
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from .._progress import Progress
from ._batches import Batches
from ._config import TrainingConfig
from ._module import ProcessesDifferError, TrainingPlan
from ._parallel import Parallel, unchanged_process

__all__ = ["train"]


class Epochs(Callback):
    """Counts epochs, and tells the error at the spots kept aside."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin, perhaps where an earlier run ended."""
        self._progress.begin("training", trainer.max_epochs or 0, done=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Count one."""
        metrics = trainer.callback_metrics
        self._progress.step(f"error / starting map's: {float(metrics['validation'] / metrics['validation_start']):.3f}")


class AfterEveryEpoch(Checkpoint):
    """Saves to one path when early stopping has counted an epoch.

    It has no state: lightning's :class:`ModelCheckpoint` would, when a run goes on, delete whatever the file that it
    goes on from names as its predecessor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Save."""
        trainer.save_checkpoint(self._path)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside a checkpoint and then renames, so that whenever the process is killed there is a whole one.

    Lightning moves it from the folder for temporary files, which copies where that is on another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | PathLike[str], storage_options: Any = None
    ) -> None:
        """Save it."""
        partial = Path(f"{path}.partial")
        try:
            super().save_checkpoint(checkpoint, partial, storage_options)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            msg = f"the checkpoint {path} could not be written: {error.strerror or error}"
            raise OSError(error.errno, msg) from error


def train(
    plan: TrainingPlan,
    data: Batches,
    *,
    device: torch.device,
    parallel: Parallel,
    checkpoint: str | PathLike[str] | None,
    found: dict[str, Any] | None,
    progress: Progress,
) -> None:
    """Train, or go on from the content `found` of the checkpoint; put the weights kept into the plan's network."""
    training = plan.config
    path = None if checkpoint is None else Path(checkpoint)
    if found is not None and _is_finished(found["history"], training):
        plan.on_load_checkpoint({"s2s": found})
    else:
        trainer = lightning.Trainer(
            accelerator=device.type,
            devices=int(parallel.devices) if device.index is None or device.type == "cpu" else [device.index],
            num_nodes=int(parallel.num_nodes),
            strategy=parallel.strategy,
            use_distributed_sampler=False,
            precision="bf16-mixed" if training.precision == "bf16" else "32-true",
            max_epochs=training.max_epochs,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            callbacks=_callbacks(training, path, progress),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=path is not None,
            plugins=[WholeCheckpoints()],
        )
        try:
            with unchanged_process():
                trainer.fit(plan, datamodule=data, ckpt_path=None if found is None else path, weights_only=True)
        except SIGTERMException:
            # Lightning has finished the step; the process would end with exit code 0, as if all had been done.
            signal.raise_signal(signal.SIGTERM)
            raise
        except Exception as error:
            not_its_fault = isinstance(error, MemoryError | OSError | ProcessesDifferError)
            if found is None or plan.begun or not_its_fault or "OutOfMemory" in type(error).__name__:
                raise
            # What is not ours in it: the optimiser's and lightning's own state, which raise what they like.
            raise ValueError(_refusal(path, f"{type(error).__name__}: {error}")) from error
        if not plan.begun:
            raise ValueError(_refusal(path, "nothing was trained"))
    plan.network.load_state_dict(plan.kept)


def _refusal(path: Path | None, why: str) -> str:
    return (
        f"{path} cannot be gone on from ({why}); it was changed, or written with another version of lightning: "
        "delete it to start anew"
    )


def _callbacks(training: TrainingConfig, path: Path | None, progress: Progress) -> list[Callback]:
    callbacks: list[Callback] = [EarlyStopping("validation", patience=training.patience), Epochs(progress)]
    if path is not None:
        callbacks.append(AfterEveryEpoch(path))
    return callbacks


def _is_finished(history: list[dict[str, float]], training: TrainingConfig) -> bool:
    """Whether a run had reached its last epoch, or stopped early."""
    errors = [row["validation"] for row in history]
    return len(errors) >= training.max_epochs or len(errors) - 1 - errors.index(min(errors)) >= training.patience
