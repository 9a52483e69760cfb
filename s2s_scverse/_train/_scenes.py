"""Everything that training crops are cut from, computed once per fit."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._lattice import Raster
from .._predict import parallel
from ._initial import InitialEstimate
from ._pairs import Views

__all__ = ["Scene", "build_scene"]

SMALLEST_SPREAD = 0.2
"""Lower bound of the standard deviation that a map is divided by: it may hardly vary over few visible spots."""


@dataclass(frozen=True)
class Scene:
    """One lattice with its truth and, for each mask, its initial estimates. Genes come first, natural images after."""

    gathers: list[Tensor]
    """For every orientation, (height, width): the site shown in each cell."""
    tissues: list[Tensor]
    """For every orientation, (height, width): 1 at sites."""
    truth: Tensor
    """(n_maps, n_sites), 0 where unknown."""
    centre: Tensor
    """(n_masks, n_maps): subtracted from truth and maps under each mask."""
    spread: Tensor
    """(n_masks, n_maps): divisor of both."""
    known: Tensor
    """(2, n_sites): where the truth is known, of genes and of images."""
    visible: Tensor
    """(n_masks, n_sites)."""
    maps: Tensor
    """(n_masks, n_kinds, n_maps, n_sites); the first kind is the initial estimate."""
    n_genes: int
    stride: int
    """Sites of the dense lattice to one of this lattice."""
    hexagonal: bool

    @property
    def n_images(self) -> int:
        """Number of natural images."""
        return len(self.truth) - self.n_genes


def build_scene(
    views: Views,
    truth: NDArray[np.float32],
    images: NDArray[np.float32],
    *,
    estimate: InitialEstimate,
    noise_weights: NDArray[np.float64] | None = None,
    orientations: NDArray[np.int64],
    standardise: bool,
    stride: int = 1,
) -> Scene:
    """Compute the initial estimates under every mask from the visible spots alone.

    Data are standardised by the visible spots of each mask: the mean over all known spots would reveal on which side
    of it the masked ones lie.

    Parameters
    ----------
    views
        Lattice and masks.
    truth
        (n_known, n_genes), standardised.
    images
        (n_sites, n_images), standardised.
    estimate
        How initial estimates are computed.
    noise_weights
        (n_known,), the same for all by default.
    orientations
        Symmetries (n, 2, 2) in which crops are shown.
    standardise
        Whether to standardise under every mask.
    stride
        Sites of the dense lattice to one of this lattice.
    """
    n_sites = len(views.lattice)
    everywhere = np.zeros((n_sites, truth.shape[1]), dtype=np.float32)
    everywhere[views.known] = truth
    at_sites = np.ones(n_sites)
    at_sites[views.known] = 1 if noise_weights is None else noise_weights
    n_views, n_maps = len(views.visible), truth.shape[1] + images.shape[1]
    centre, spread = np.zeros((n_views, n_maps), np.float32), np.ones((n_views, n_maps), np.float32)

    def estimated(view: int) -> NDArray[np.float32]:
        visible = views.visible[view]
        weight = None if noise_weights is None else at_sites[visible]
        parts = [estimate.genes(views.lattice, visible, everywhere[visible], weight)]
        if images.shape[1]:
            parts.append(estimate.images(views.lattice, visible, images[visible]))
        if standardise:
            seen = np.concatenate([everywhere[visible], images[visible]], axis=1)
            centre[view] = seen.mean(axis=0)
            spread[view] = np.maximum(seen.std(axis=0), SMALLEST_SPREAD)
        return np.asarray((np.concatenate(parts, axis=1) - centre[view, :, None]) / spread[view, :, None], np.float32)

    maps = parallel(estimated, range(n_views))
    rasters = [views.lattice.transformed(symmetry).raster() for symmetry in orientations]
    return Scene(
        gathers=[torch.from_numpy(raster.gather) for raster in rasters],
        tissues=[_tissue(raster) for raster in rasters],
        truth=torch.from_numpy(np.ascontiguousarray(np.concatenate([everywhere, images], axis=1).T)),
        centre=torch.from_numpy(centre),
        spread=torch.from_numpy(spread),
        known=torch.from_numpy(np.stack([views.known, np.ones(n_sites, dtype=bool)]).astype(np.float32)),
        visible=torch.from_numpy(views.visible.astype(np.float32)),
        maps=torch.from_numpy(np.stack(maps)),
        n_genes=truth.shape[1],
        stride=stride,
        hexagonal=views.lattice.kind.hexagonal,
    )


def _tissue(raster: Raster) -> Tensor:
    return torch.from_numpy(raster.tissue.astype(np.float32))
