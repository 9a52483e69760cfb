"""Scenes, which are computed once per fit, and the batches of crops that are cut from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._lattice import Lattice
from .._predict import StackingWeights, fit, parallel
from .._predict._arrays import Bool, Float32, Float64, Int
from ._config import Initial, TrainingConfig

SMALLEST_CROP = 16  # smallest side of crops of spots

SMALLEST_SPREAD = 0.2
"""Lower bound of the standard deviation that a map is divided by: it may hardly vary over few visible spots."""
N_MAPS: Final[dict[Initial, int]] = {"nearest": 1, "kriging": 1, "pca_kriging": 3, "stack": 4}
"""Maps that each method gives: the estimate, then those that it is made of."""


@dataclass(frozen=True)
class Scale:
    """Centre and spread of genes on the measured spots, (n_genes,) each."""

    centre: Float32
    spread: Float32

    @classmethod
    def of(cls, values: Float32, gene_scale: float | None) -> "Scale":
        """Mean and standard deviation of genes (n, n_genes), or 0 and a fixed number."""
        n_genes = values.shape[1]
        if gene_scale is not None:
            return cls(np.zeros(n_genes, np.float32), np.full(n_genes, gene_scale, np.float32))
        centre = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(centre, values.std(axis=0, dtype=np.float64).astype(np.float32))

    def apply(self, values: Float32) -> Float32:
        """Standardise (n, n_genes)."""
        return np.asarray((values - self.centre) / np.where(self.spread > 0, self.spread, np.float32(1)))

    def undo(self, standard: Float32) -> Float32:
        """Return to the scale of the values; a constant gene stays constant."""
        return np.asarray(standard * self.spread + self.centre)


@dataclass(frozen=True)
class Masks:
    """One lattice with several masks."""

    lattice: Lattice
    known: Bool  # (n_sites,): where the truth is known
    visible: Bool  # (n_masks, n_sites): visible to the network; a subset of the known sites


@dataclass(frozen=True)
class Scene:
    """One lattice with its truth and, for each mask, its initial estimates. Genes come first, natural images after."""

    gathers: list[Tensor]  # for every orientation, (height, width): the site shown in each cell
    tissues: list[Tensor]  # for every orientation, (height, width): 1 at sites
    truth: Tensor  # (n_maps, n_sites), 0 where unknown
    centre: Tensor  # (n_masks, n_maps): subtracted from truth and maps under each mask
    spread: Tensor  # (n_masks, n_maps): divisor of both
    known: Tensor  # (2, n_sites): where the truth is known, of genes and of images
    visible: Tensor  # (n_masks, n_sites)
    maps: Tensor  # (n_masks, n_kinds, n_maps, n_sites); the first kind is the initial estimate
    n_genes: int
    stride: int  # sites of the dense lattice to one of this lattice
    hexagonal: bool


def build_scene(
    masks: Masks,
    truth: Float32,
    images: Float32,
    *,
    chosen: Int,
    training: TrainingConfig,
    stacking: StackingWeights | None,
    spread: Float32,
    noise_weights: Float64 | None = None,
    covariates: Float64 | None = None,
    orientations: Int,
    stride: int = 1,
) -> Scene:
    """Compute the initial estimates under every mask from the visible spots alone.

    Takes genes (n_known, n_genes) and images (n_sites, n_images), both standardised, the genes `chosen` (n_chosen,),
    the `spread` of genes before that (n_genes,), noise weights (n_known,), covariates (n_sites, k), and the symmetries
    (n, 2, 2) in which crops are shown. Data are standardised by the visible spots of each mask: the mean over all known
    spots would reveal on which side of it the masked ones lie.
    """
    lattice, n_sites = masks.lattice, len(masks.lattice)
    everywhere = np.zeros((n_sites, truth.shape[1]), dtype=np.float32)
    everywhere[masks.known] = truth
    n_masks, n_maps = len(masks.visible), len(chosen) + images.shape[1]
    centre, scale = np.zeros((n_masks, n_maps), np.float32), np.ones((n_masks, n_maps), np.float32)

    def estimated(number: int) -> Float32:
        visible = masks.visible[number]
        weights = None if noise_weights is None else noise_weights[visible[masks.known]]
        both = None if covariates is None else (covariates[visible], covariates)
        sites, values = lattice.unit_coordinates / lattice.spot_pitch(visible), everywhere[visible]
        # Components of standardised genes would be made of noise as much as of signal.
        data = sites[visible], sites, values * spread
        predictor = fit(training.initial, *data, noise_weights=weights, stacking=stacking, covariates=both)
        maps = np.stack([each.T for each in predictor.maps(values[:, chosen])])
        if images.shape[1]:
            # Images share nothing: as many equal maps.
            alone = fit("nearest" if training.initial == "nearest" else "kriging", sites[visible], sites)
            of_images = alone.maps(images[visible])[0].T
            maps = np.concatenate([maps, np.stack([of_images] * len(maps))], axis=1)
        if training.gene_scale is None:
            seen = np.concatenate([values[:, chosen], images[visible]], axis=1)
            centre[number] = seen.mean(axis=0)
            scale[number] = np.maximum(seen.std(axis=0), SMALLEST_SPREAD)
        return np.asarray((maps - centre[number, :, None]) / scale[number, :, None], np.float32)

    maps = parallel(estimated, range(n_masks))
    return Scene(
        *lay_on_rasters(masks.lattice, orientations),
        truth=torch.from_numpy(np.ascontiguousarray(np.concatenate([everywhere[:, chosen], images], axis=1).T)),
        centre=torch.from_numpy(centre),
        spread=torch.from_numpy(scale),
        known=torch.from_numpy(np.stack([masks.known, np.ones(n_sites, dtype=bool)]).astype(np.float32)),
        visible=torch.from_numpy(masks.visible.astype(np.float32)),
        maps=torch.from_numpy(np.stack(maps)),
        n_genes=len(chosen),
        stride=stride,
        hexagonal=masks.lattice.kind.hexagonal,
    )


def lay_on_rasters(lattice: Lattice, orientations: Int) -> tuple[list[Tensor], list[Tensor]]:
    """For every orientation, (height, width): the site shown in each cell, and 1 at sites."""
    rasters = [lattice.transformed(symmetry).raster() for symmetry in orientations]
    tissues = [torch.from_numpy(tissue.astype(np.float32)) for _, tissue in rasters]
    return [torch.from_numpy(gather) for gather, _ in rasters], tissues


@dataclass(frozen=True)
class Term:
    """One term of the loss: crops of genes or of natural images, from one scene of every section."""

    scenes: list[Scene]
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
        """Initial estimate of the cascade, (B, 1, height, width)."""
        return self.maps[:, :1]

    @property
    def values(self) -> Tensor:
        """Visible values, (B, 1, height, width)."""
        return self.target * self.mask

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Apply a function to all tensors."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})  # type: ignore[arg-type]


class Crops(Dataset[dict[str, Batch]]):
    """The steps of one epoch; each item has one batch per term.

    A draw depends on (seed, epoch, step) alone, so that runs can be resumed exactly.
    """

    def __init__(self, terms: dict[str, Term], config: TrainingConfig, *, seed: int, epoch: int) -> None:
        self.terms, self.config = terms, config
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return self.config.steps_per_epoch

    def __getitem__(self, step: int) -> dict[str, Batch]:
        if not 0 <= step < len(self):
            raise IndexError(step)
        rng = np.random.default_rng([self.seed, self.epoch, step])
        return {name: self._draw(term, rng) for name, term in self.terms.items()}

    def _draw(self, term: Term, rng: np.random.Generator) -> Batch:
        scene = term.scenes[0]
        if len(term.scenes) > 1:
            # Draw a section with a probability proportional to its number of spots.
            sizes = np.array([float(each.known[0].sum()) for each in term.scenes])
            scene = term.scenes[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        first, n = (scene.n_genes, len(scene.truth) - scene.n_genes) if term.images else (0, scene.n_genes)
        chosen = torch.from_numpy(first + rng.integers(n, size=self.config.batch_size))
        number = int(rng.integers(len(scene.visible)))
        orientation = int(rng.integers(len(scene.gathers)))
        known, visible = scene.known[int(term.images)], scene.visible[number]
        scored = known * (1 - visible) if self.config.scored == "masked" and bool((known > visible).any()) else known
        rows, cols = self._place(scene, scene.gathers[orientation], scored, rng)
        sites, tissue = scene.gathers[orientation][rows, cols], scene.tissues[orientation][rows, cols]
        return cut(scene, number, chosen, sites, tissue, scored)

    def _place(self, scene: Scene, gather: Tensor, scored: Tensor, rng: np.random.Generator) -> list[slice]:
        """Place a crop around a random scored site: its rows and columns."""
        crop = max(self.config.crop // scene.stride, SMALLEST_CROP) if scene.stride > 1 else self.config.crop
        candidates = torch.nonzero(scored[gather.reshape(-1)]).reshape(-1)
        cell = int(candidates[int(rng.integers(len(candidates)))])
        place = []
        for centre, extent in zip(divmod(cell, gather.shape[1]), gather.shape, strict=True):
            side = min(crop, extent)
            corner = min(max(centre - int(rng.integers(side)), 0), extent - side)
            place.append(slice(corner, corner + side))
        return place


def cut(scene: Scene, number: int, chosen: Tensor, sites: Tensor, tissue: Tensor, scored: Tensor) -> Batch:
    """Cut crops (height, width) of `sites` out of the maps `chosen` of a scene."""
    flat = sites.reshape(-1)
    shape = (len(chosen), 1, *sites.shape)
    truth = (scene.truth[chosen][:, flat] - scene.centre[number, chosen, None]) / scene.spread[number, chosen, None]
    maps = scene.maps[number][:, chosen][:, :, flat].reshape(-1, *shape[:1], *sites.shape).transpose(0, 1)
    return Batch(
        maps=maps,
        mask=scene.visible[number][sites].expand(shape) * tissue,
        tissue=tissue.expand(shape),
        target=truth.reshape(shape),
        weight=scored[sites].expand(shape) * tissue,
        hexagonal=scene.hexagonal,
    )
