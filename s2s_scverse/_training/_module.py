"""The training plan: what lightning calls."""

import lightning
import torch
from torch import Tensor

from ..nn import CDCIN
from ._batches import Batch, Term
from ._config import TrainingConfig
from ._losses import masked_error, staged_loss

__all__ = ["TrainingPlan"]


class TrainingPlan(lightning.LightningModule):
    """Trains a network on weighted terms; the same forward pass serves training, validation and prediction."""

    def __init__(self, network: CDCIN, terms: list[Term], config: TrainingConfig) -> None:
        super().__init__()
        self.network = network
        self.weights = {term.name: term.weight for term in terms}
        self.config = config
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}

    def stages(self, batch: Batch) -> Tensor:
        """Output of every stage, (K, B, 1, H, W)."""
        context = batch.context if self.network.config.context_channels else None
        stages: Tensor = self.network(batch.start, batch.values, batch.mask, context)
        return stages

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Sum of the weighted terms."""
        losses = {
            name: staged_loss(self.stages(part), part.target, part.weight, self.config.loss)
            for name, part in batch.items()
        }
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros(())) + loss.detach().cpu()
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Squared error at the spots kept aside, of the network and of its starting map."""
        last = self.stages(batch)[-1].float()
        n = batch.weight.sum()
        for name, prediction in (("validation", last), ("validation_start", batch.start)):
            error = masked_error(prediction, batch.target, batch.weight, "l2")
            self.log(name, error, on_epoch=True, batch_size=int(n))

    def on_validation_epoch_end(self) -> None:
        """Write one row of the history."""
        if self.trainer.sanity_checking:
            return
        n = self.config.steps_per_epoch
        row = {"epoch": float(self.current_epoch)}
        row |= {f"loss_{name}": float(total) / n for name, total in self._sums.items()}
        row |= {name: float(self.trainer.callback_metrics[name]) for name in ("validation", "validation_start")}
        self.history.append(row)
        self._sums.clear()

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:  # noqa: ARG002
        """Move our own containers, which lightning does not know."""
        if isinstance(batch, dict):
            return {name: part.to(device) for name, part in batch.items()}
        return batch.to(device) if isinstance(batch, Batch) else batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, betas=self.config.betas)
