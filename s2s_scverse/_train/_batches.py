"""Batches of training crops; a draw depends on (seed, epoch, step) alone, so that runs can be resumed exactly."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ._config import TrainingConfig
from ._scenes import Scene

__all__ = ["Batch", "Batches", "Term", "Windows", "cut"]


SMALLEST_WINDOW = 16


@dataclass(frozen=True)
class Term:
    """One term of the loss: crops of genes or of natural images, from one scene of every section."""

    name: str
    scenes: tuple[Scene, ...]
    images: bool
    weight: float


@dataclass
class Batch:
    """Crops that share a training mask and an orientation; all (B, channels, height, width)."""

    start: Tensor
    values: Tensor
    mask: Tensor
    maps: Tensor
    tissue: Tensor
    target: Tensor
    weight: Tensor
    hexagonal: bool
    """Whether the lattice is."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Apply a function to all tensors."""
        names = [field.name for field in fields(self) if field.name != "hexagonal"]
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in names}
        return replace(self, **changed)


class Windows(Dataset[dict[str, Batch]]):
    """The steps of one epoch; each item has one batch per term.

    Each of several processes takes its own genes of one larger batch, which depends on their number alone.
    """

    def __init__(
        self, terms: list[Term], config: TrainingConfig, *, seed: int, epoch: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.terms, self.config = terms, config
        self.seed, self.epoch = seed, epoch
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.config.steps_per_epoch

    def __getitem__(self, step: int) -> dict[str, Batch]:
        if not 0 <= step < len(self):
            raise IndexError(step)
        rng = np.random.default_rng([self.seed, self.epoch, step])
        return {term.name: self._draw(term, rng) for term in self.terms}

    def _draw(self, term: Term, rng: np.random.Generator) -> Batch:
        scene = self._choose(term.scenes, rng)
        first, n = (scene.n_genes, scene.n_images) if term.images else (0, scene.n_genes)
        size = self.config.batch_size
        drawn = first + rng.integers(n, size=self.world_size * size)
        chosen = torch.from_numpy(drawn[self.rank * size : (self.rank + 1) * size])
        view = int(rng.integers(len(scene.visible)))
        orientation = int(rng.integers(len(scene.gathers)))
        known, visible = scene.known[int(term.images)], scene.visible[view]
        scored = known * (1 - visible) if self.config.scored == "hidden" and bool((known > visible).any()) else known
        rows, cols = self._place(scene, scene.gathers[orientation], scored, rng)
        sites, tissue = scene.gathers[orientation][rows, cols], scene.tissues[orientation][rows, cols]
        return cut(scene, view, chosen, sites, tissue, scored)

    def _choose(self, scenes: tuple[Scene, ...], rng: np.random.Generator) -> Scene:
        """Draw a section with a probability proportional to its number of spots."""
        if len(scenes) == 1:
            return scenes[0]
        sizes = np.array([float(scene.known[0].sum()) for scene in scenes])
        return scenes[int(rng.choice(len(scenes), p=sizes / sizes.sum()))]

    def _place(self, scene: Scene, gather: Tensor, scored: Tensor, rng: np.random.Generator) -> tuple[slice, slice]:
        """Place a crop around a random scored site."""
        window = max(self.config.crop // scene.stride, SMALLEST_WINDOW) if scene.stride > 1 else self.config.crop
        candidates = torch.nonzero(scored[gather.reshape(-1)]).reshape(-1)
        cell = int(candidates[int(rng.integers(len(candidates)))])
        place = []
        for centre, extent in zip(divmod(cell, gather.shape[1]), gather.shape, strict=True):
            side = min(window, extent)
            corner = min(max(centre - int(rng.integers(side)), 0), extent - side)
            place.append(slice(corner, corner + side))
        return place[0], place[1]


def cut(scene: Scene, view: int, chosen: Tensor, sites: Tensor, tissue: Tensor, scored: Tensor) -> Batch:
    """Cut crops (height, width) of `sites` out of the maps `chosen` of a scene."""
    flat = sites.reshape(-1)
    shape = (len(chosen), 1, *sites.shape)

    def spread(of_sites: Tensor) -> Tensor:
        return of_sites[sites].expand(shape)

    mask = spread(scene.visible[view]) * tissue
    truth = (scene.truth[chosen][:, flat] - scene.centre[view, chosen, None]) / scene.spread[view, chosen, None]
    truth = truth.reshape(shape)
    maps = scene.maps[view][:, chosen][:, :, flat].reshape(-1, *shape[:1], *sites.shape).transpose(0, 1)
    return Batch(
        start=maps[:, :1],
        values=truth * mask,
        mask=mask,
        maps=maps,
        tissue=tissue.expand(shape),
        target=truth,
        weight=spread(scored) * tissue,
        hexagonal=scene.hexagonal,
    )


class Batches(lightning.LightningDataModule):
    """Provides the crops of each epoch, and the validation spots."""

    def __init__(self, terms: list[Term], aside: list[Batch], config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self.terms, self.aside, self.config, self.seed = terms, aside, config, seed

    def train_dataloader(self) -> DataLoader[dict[str, Batch]]:
        """Crops of the current epoch, for this process."""
        epoch, rank, world_size = 0, 0, 1
        if self.trainer is not None:
            epoch, rank, world_size = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        windows = Windows(self.terms, self.config, seed=self.seed, epoch=epoch, rank=rank, world_size=world_size)
        return DataLoader(windows, batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Whole maps with the validation spots as targets, the same in every process."""
        return DataLoader(_AsDataset(self.aside), batch_size=None)


class _AsDataset(Dataset[Batch]):
    def __init__(self, items: list[Batch]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Batch:
        return self.items[index]
