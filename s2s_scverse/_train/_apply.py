"""Maps of all genes by a trained network."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._lattice import Lattice
from ..nn import CDCIN
from ._batches import Batch, cut
from ._config import TrainingConfig
from ._scenes import Scene, lay_on_rasters

__all__ = ["predict_sites", "run_stages", "whole_maps", "whole_section"]

CELLS_PER_BATCH = 2**19
LARGEST_SIDE = 1024  # largest side of the pieces in which a large section is imputed, without their rims


def whole_maps(scene: Scene, scored: Tensor, genes: Tensor) -> Iterator[Batch]:
    """Cut the whole upright section, mask by mask, a few genes at a time; `scored` is (n_masks, n_sites)."""
    gather, tissue = scene.gathers[0], scene.tissues[0]
    for view, of in enumerate(scored):
        for part in torch.split(genes, max(1, CELLS_PER_BATCH // gather.numel())):
            yield cut(scene, view, part, gather, tissue, of)


def whole_section(
    lattice: Lattice, measured: NDArray[np.bool_], values: NDArray[np.float32], maps: NDArray[np.float32]
) -> Iterator[Batch]:
    """Lay out a whole upright section to be predicted, a few genes at a time.

    Takes which sites are measured (n_sites,), standardised values (n_measured, n_genes), and initial estimates
    (n_maps, n_genes, n_sites) of these.
    """
    n_genes = values.shape[1]
    truth = np.zeros((n_genes, len(lattice)), np.float32)
    truth[:, measured] = values.T
    seen = torch.from_numpy(measured.astype(np.float32))[None]
    scene = Scene(
        *lay_on_rasters(lattice, lattice.kind.symmetries[:1]),
        truth=torch.from_numpy(truth),
        centre=torch.zeros(1, n_genes),
        spread=torch.ones(1, n_genes),
        known=seen,
        visible=seen,
        maps=torch.from_numpy(maps)[None],
        n_genes=n_genes,
        stride=1,
        hexagonal=lattice.kind.hexagonal,
    )
    return whole_maps(scene, seen, torch.arange(n_genes))


def run_stages(network: CDCIN, batch: Batch, training: TrainingConfig) -> Tensor:
    """Output of every stage, (K, B, 1, H, W): the one forward pass of training, validation and prediction."""
    context = [batch.maps] if training.show_maps else []
    if network.config.mask_channel:
        context.append(batch.tissue)
    network.use_lattice(hexagonal=batch.hexagonal)
    stages: Tensor = network(batch.start, batch.values, batch.mask, torch.cat(context, dim=1) if context else None)
    return stages


@torch.inference_mode()
def predict_sites(
    network: CDCIN, batch: Batch, position: Tensor, training: TrainingConfig, device: torch.device
) -> Tensor:
    """Impute whole maps at the cells `position` (n_sites,): (n_maps, n_sites) on the CPU, float32.

    Networks with attention process crops of the training size, overlapping by half, and average. Purely convolutional
    ones process the section at once, or a large one in pieces with a rim as wide as their reach, with the same result.
    """
    height, width = batch.start.shape[-2:]
    total = torch.zeros(len(batch.start), 1, height, width)
    count = torch.zeros(height, width)
    # Only corrections are rounded, the maps they are added to are not.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16")
    cut = _windows if network.config.attention else _pieces
    side = training.crop if network.config.attention else LARGEST_SIDE
    for rows, kept_rows in cut(height, side, network.config.reach):
        for cols, kept_cols in cut(width, side, network.config.reach):
            part = batch.each(lambda tensor: tensor[..., rows, cols].to(device))  # noqa: B023 - called at once
            with autocast:
                found = run_stages(network, part, training)[-1].float().cpu()
            total[..., kept_rows, kept_cols] += found[..., _within(rows, kept_rows), _within(cols, kept_cols)]
            count[kept_rows, kept_cols] += 1
    return (total / count).flatten(1)[:, position]


def _windows(extent: int, side: int, reach: int) -> Iterator[tuple[slice, slice]]:  # noqa: ARG001 - as _pieces
    """Cover an axis with crops that overlap by at least half; yield each twice."""
    side = min(side, extent)
    n = int(np.ceil((extent - side) / (side / 2))) + 1
    for corner in np.linspace(0, extent - side, n).round().astype(int):
        window = slice(int(corner), int(corner) + side)
        yield window, window


def _pieces(extent: int, side: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Cut an axis into pieces with a rim; yield each piece and its part without the rim."""
    for start in range(0, extent, side):
        stop = min(start + side, extent)
        yield slice(max(start - reach, 0), min(start + side + reach, extent)), slice(start, stop)


def _within(window: slice, part: slice) -> slice:
    """Return the position of a part of the axis in a crop."""
    return slice(part.start - window.start, part.stop - window.start)
