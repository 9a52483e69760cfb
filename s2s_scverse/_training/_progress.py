"""One progress bar per run."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from tqdm.auto import tqdm

__all__ = ["EpochBar"]


class EpochBar(Callback):
    """Counts epochs and shows the error at the spots kept aside; of several processes, in the first one."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Open the bar."""
        hidden = not trainer.is_global_zero
        self._bar = tqdm(total=trainer.max_epochs, desc="training CDCIN", unit="epoch", disable=hidden)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Advance it."""
        metrics = trainer.callback_metrics
        ratio = float(metrics["validation"] / metrics["validation_start"])
        self._bar.set_postfix_str(f"error / starting map's: {ratio:.3f}")
        self._bar.update()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Close it, also after a failure."""
        if self._bar is not None:
            self._bar.close()
