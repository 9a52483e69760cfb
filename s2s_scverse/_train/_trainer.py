"""Training with lightning."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from .._progress import Progress
from ._checkpoint import ENTRY
from ._config import TrainingConfig
from ._module import Batches, TrainingPlan

__all__ = ["train"]


class Epochs(Callback):
    """Reports epochs, and the error at validation spots."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin, possibly after the last epoch of an earlier run."""
        self._progress.begin("training", trainer.max_epochs or 0, done=trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Count an epoch."""
        metrics = trainer.callback_metrics
        self._progress.step(
            f"error / initial estimate's: {float(metrics['validation'] / metrics['validation_start']):.3f}"
        )


class AfterEveryEpoch(Checkpoint):
    """Saves to one path when early stopping has counted an epoch.

    Lightning's own :class:`ModelCheckpoint` deletes what the file that it resumes from names as its predecessor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Save a checkpoint."""
        trainer.save_checkpoint(self._path)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside a checkpoint and then renames, so that a complete one exists whenever the process is killed.

    Lightning moves it from the folder for temporary files, which copies where that is on another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | PathLike[str], storage_options: Any = None
    ) -> None:
        """Write the checkpoint atomically."""
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
    checkpoint: str | PathLike[str] | None,
    found: dict[str, Any] | None,
    progress: Progress,
) -> None:
    """Train, or resume from the content `found` of the checkpoint; put the weights kept into the plan's network."""
    training = plan.config
    path = None if checkpoint is None else Path(checkpoint)
    if found is not None and _is_finished(found["history"], training):
        plan.on_load_checkpoint({ENTRY: found})
    else:
        more = dict(training.trainer_kwargs)
        callbacks = _callbacks(training, path, progress) + list(more.pop("callbacks", []))
        arguments: dict[str, Any] = {
            "accelerator": device.type,
            "devices": 1 if device.index is None or device.type == "cpu" else [device.index],
            "precision": "bf16-mixed" if training.precision == "bf16" else "32-true",
            "plugins": [WholeCheckpoints()],
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        with _quiet():
            trainer = lightning.Trainer(
                max_epochs=training.max_epochs,
                reload_dataloaders_every_n_epochs=1,
                enable_checkpointing=path is not None,
                callbacks=callbacks,
                **arguments | more,
            )
            try:
                trainer.fit(plan, datamodule=data, ckpt_path=None if found is None else path, weights_only=True)
            except SIGTERMException:
                # Lightning has finished the step; the process would end with exit code 0, as if all had been done.
                signal.raise_signal(signal.SIGTERM)
                raise
    plan.network.load_state_dict(plan.kept)


def _callbacks(training: TrainingConfig, path: Path | None, progress: Progress) -> list[Callback]:
    callbacks: list[Callback] = [EarlyStopping("validation", patience=training.patience), Epochs(progress)]
    if path is not None:
        callbacks.append(AfterEveryEpoch(path))
    return callbacks


def _is_finished(history: list[dict[str, float]], training: TrainingConfig) -> bool:
    """Whether a run had reached its last epoch, or stopped early."""
    errors = [row["validation"] for row in history]
    return len(errors) >= training.max_epochs or len(errors) - 1 - errors.index(min(errors)) >= training.patience


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
