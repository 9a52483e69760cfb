"""Batches of training crops; a draw depends on (seed, epoch, step) alone, so that runs can be resumed exactly."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ._config import TrainingConfig
from ._scenes import Scene

__all__ = ["Batch", "Term", "Windows", "cut"]

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

    maps: Tensor  # initial estimates; the cascade starts from the first
    mask: Tensor
    tissue: Tensor
    target: Tensor
    weight: Tensor
    hexagonal: bool  # the lattice

    @property
    def start(self) -> Tensor:
        """Where the cascade starts, (B, 1, height, width)."""
        return self.maps[:, :1]

    @property
    def values(self) -> Tensor:
        """Visible values, (B, 1, height, width)."""
        return self.target * self.mask

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Apply a function to all tensors."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})  # type: ignore[arg-type]


class Windows(Dataset[dict[str, Batch]]):
    """The steps of one epoch; each item has one batch per term."""

    def __init__(self, terms: list[Term], config: TrainingConfig, *, seed: int, epoch: int) -> None:
        self.terms, self.config = terms, config
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return self.config.steps_per_epoch

    def __getitem__(self, step: int) -> dict[str, Batch]:
        if not 0 <= step < len(self):
            raise IndexError(step)
        rng = np.random.default_rng([self.seed, self.epoch, step])
        return {term.name: self._draw(term, rng) for term in self.terms}

    def _draw(self, term: Term, rng: np.random.Generator) -> Batch:
        scene = term.scenes[0]
        if len(term.scenes) > 1:
            # Draw a section with a probability proportional to its number of spots.
            sizes = np.array([float(each.known[0].sum()) for each in term.scenes])
            scene = term.scenes[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        first, n = (scene.n_genes, len(scene.truth) - scene.n_genes) if term.images else (0, scene.n_genes)
        chosen = torch.from_numpy(first + rng.integers(n, size=self.config.batch_size))
        view = int(rng.integers(len(scene.visible)))
        orientation = int(rng.integers(len(scene.gathers)))
        known, visible = scene.known[int(term.images)], scene.visible[view]
        scored = known * (1 - visible) if self.config.scored == "hidden" and bool((known > visible).any()) else known
        rows, cols = self._place(scene, scene.gathers[orientation], scored, rng)
        sites, tissue = scene.gathers[orientation][rows, cols], scene.tissues[orientation][rows, cols]
        return cut(scene, view, chosen, sites, tissue, scored)

    def _place(self, scene: Scene, gather: Tensor, scored: Tensor, rng: np.random.Generator) -> list[slice]:
        """Place a crop around a random scored site: its rows and columns."""
        window = max(self.config.crop // scene.stride, SMALLEST_WINDOW) if scene.stride > 1 else self.config.crop
        candidates = torch.nonzero(scored[gather.reshape(-1)]).reshape(-1)
        cell = int(candidates[int(rng.integers(len(candidates)))])
        place = []
        for centre, extent in zip(divmod(cell, gather.shape[1]), gather.shape, strict=True):
            side = min(window, extent)
            corner = min(max(centre - int(rng.integers(side)), 0), extent - side)
            place.append(slice(corner, corner + side))
        return place


def cut(scene: Scene, view: int, chosen: Tensor, sites: Tensor, tissue: Tensor, scored: Tensor) -> Batch:
    """Cut crops (height, width) of `sites` out of the maps `chosen` of a scene."""
    flat = sites.reshape(-1)
    shape = (len(chosen), 1, *sites.shape)
    truth = (scene.truth[chosen][:, flat] - scene.centre[view, chosen, None]) / scene.spread[view, chosen, None]
    maps = scene.maps[view][:, chosen][:, :, flat].reshape(-1, *shape[:1], *sites.shape).transpose(0, 1)
    return Batch(
        maps=maps,
        mask=scene.visible[view][sites].expand(shape) * tissue,
        tissue=tissue.expand(shape),
        target=truth.reshape(shape),
        weight=scored[sites].expand(shape) * tissue,
        hexagonal=scene.hexagonal,
    )
