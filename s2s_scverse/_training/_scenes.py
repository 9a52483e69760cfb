"""Everything a training window is cut from, laid out once per fit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._lattice import Lattice, Raster
from ._pairs import Views

__all__ = ["Maps", "Scene", "build_scene"]

Maps = Callable[[Lattice, NDArray[np.bool_], NDArray[np.float32]], NDArray[np.float32]]
"""Starting maps: lattice, visible sites, values there (n_visible, n_maps) -> (n_kinds, n_maps, n_sites)."""


@dataclass(frozen=True)
class Scene:
    """One lattice with its truth and, for each view, its starting maps. Genes come first, natural images after."""

    gathers: list[Tensor]
    """For every orientation, (height, width): the site shown in each cell."""
    tissues: list[Tensor]
    """For every orientation, (height, width): 1 at sites."""
    truth: Tensor
    """(n_maps, n_sites), 0 where unknown."""
    known: Tensor
    """(2, n_sites): where the truth is known, of genes and of images."""
    visible: Tensor
    """(n_views, n_sites)."""
    maps: Tensor
    """(n_views, n_kinds, n_maps, n_sites); the first kind is the starting map."""
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
    gene_maps: Maps,
    image_maps: Maps,
    orientations: NDArray[np.int64],
    stride: int = 1,
) -> Scene:
    """Compute the starting maps of every view from what is visible in it, and from nothing else.

    Parameters
    ----------
    views
        Lattice and masks.
    truth
        (n_known, n_genes), standardised.
    images
        (n_sites, n_images), standardised.
    gene_maps, image_maps
        How starting maps are computed.
    orientations
        Symmetries (n, 2, 2) in which windows are shown.
    stride
        Sites of the dense lattice to one of this lattice.
    """
    n_sites = len(views.lattice)
    everywhere = np.zeros((n_sites, truth.shape[1]), dtype=np.float32)
    everywhere[views.known] = truth
    maps = []
    for visible in views.visible:
        parts = [gene_maps(views.lattice, visible, everywhere[visible])]
        if images.shape[1]:
            parts.append(image_maps(views.lattice, visible, images[visible]))
        maps.append(np.concatenate(parts, axis=1))
    rasters = [views.lattice.transformed(symmetry).raster() for symmetry in orientations]
    return Scene(
        gathers=[torch.from_numpy(raster.gather) for raster in rasters],
        tissues=[_tissue(raster) for raster in rasters],
        truth=torch.from_numpy(np.ascontiguousarray(np.concatenate([everywhere, images], axis=1).T)),
        known=torch.from_numpy(np.stack([views.known, np.ones(n_sites, dtype=bool)]).astype(np.float32)),
        visible=torch.from_numpy(views.visible.astype(np.float32)),
        maps=torch.from_numpy(np.stack(maps)),
        n_genes=truth.shape[1],
        stride=stride,
        hexagonal=views.lattice.kind.hexagonal,
    )


def _tissue(raster: Raster) -> Tensor:
    return torch.from_numpy(raster.tissue.astype(np.float32))
