"""Maps of all genes by a trained network."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from .._lattice import Lattice
from .._predict._arrays import Bool, Float32
from ..nn import CDCIN
from ._config import TrainingConfig
from ._scenes import Batch, Scene, cut, lay_on_rasters

CELLS_PER_BATCH = 2**15
WIDEST, LOWEST = 256, 32  # largest width and smallest height of the pieces of a large section, without their rims


def cells_per_batch(training: TrainingConfig, device: torch.device) -> int:
    """Cells of maps in one batch; of more, the channels neither fit into caches nor into reused memory."""
    return CELLS_PER_BATCH * (2 if in_bfloat16(training, device) else 1)


def whole_maps(scene: Scene, scored: Tensor) -> Iterator[Batch]:
    """Cut the whole upright section, mask by mask with `scored` sites, (n_masks, n_sites), a few genes at a time."""
    gather, tissue = scene.gathers[0], scene.tissues[0]
    for number, of in enumerate(scored.float()):
        if not of.any():
            continue
        for part in torch.split(torch.arange(scene.n_genes), max(1, CELLS_PER_BATCH // gather.numel())):
            yield cut(scene, number, part, gather, tissue, of)


def whole_section(lattice: Lattice, measured: Bool, values: Float32, maps: Float32, cells: int) -> Iterator[Batch]:
    """Lay out a whole upright section to be predicted, as many genes at a time as have this number of `cells`.

    Takes which sites are measured (n_sites,), standardised values (n_measured, n_genes), and initial estimates
    (n_maps, n_genes, n_sites) of these.
    """
    (gather,), (tissue,) = lay_on_rasters(lattice, lattice.kind.symmetries[:1])
    mask = torch.from_numpy(measured.astype(np.float32))[gather] * tissue
    truth = np.zeros((1, values.shape[1], len(lattice)), np.float32)
    truth[0, :, measured] = values
    sites, size = gather.numpy(), max(1, cells // gather.numel())
    for start in range(0, values.shape[1], size):
        genes = slice(start, start + size)
        # Several times as fast as indexing with an array.
        estimates, target = (torch.from_numpy(np.take(each[:, genes], sites, axis=2)) for each in (maps, truth))
        target = target.transpose(0, 1)
        seen = mask.expand(target.shape)
        yield Batch(estimates.transpose(0, 1), seen, tissue.expand(target.shape), target, seen, lattice.kind.hexagonal)


def run_stages(network: CDCIN, batch: Batch, training: TrainingConfig) -> Tensor:
    """Output of every stage, (K, B, 1, H, W): the one forward pass of training, validation and prediction."""
    context = [batch.maps] if training.show_maps else []
    if network.config.mask_channel:
        context.append(batch.tissue)
    network.use_lattice(hexagonal=batch.hexagonal)
    stages: Tensor = network(batch.start, batch.values, batch.mask, torch.cat(context, dim=1) if context else None)
    return stages


def in_bfloat16(training: TrainingConfig, device: torch.device) -> bool:
    """Whether the network computes in bfloat16."""
    if training.precision == "auto":
        return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return training.precision == "bf16"


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
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(training, device))
    if network.config.attention:
        axes = [_overlapping(extent, training.crop) for extent in (height, width)]
    else:
        rim = network.config.reach
        cells = cells_per_batch(training, device) // (min(width, WIDEST) + 2 * rim)
        axes = [_pieces(height, max(cells - 2 * rim, LOWEST), rim), _pieces(width, WIDEST, rim)]
    for (rows, kept_rows, to_rows), (cols, kept_cols, to_cols) in product(*axes):
        if not batch.tissue[:1, :, to_rows, to_cols].any():
            continue
        part = batch.each(lambda tensor: tensor[..., rows, cols].to(device))  # noqa: B023 - called at once
        with autocast:
            found = run_stages(network, part, training)[-1].float().cpu()
        total[..., to_rows, to_cols] += found[..., kept_rows, kept_cols]
        count[to_rows, to_cols] += 1
    return (total / count).flatten(1)[:, position]


Crop = tuple[slice, slice, slice]
"""Along one axis: what the network is shown, which part of that is kept, and where this part belongs."""


def _overlapping(extent: int, side: int) -> list[Crop]:
    """Cover an axis with crops that overlap by at least half."""
    side = min(side, extent)
    n = int(np.ceil((extent - side) / (side / 2))) + 1
    corners = np.linspace(0, extent - side, n).round().astype(int).tolist()
    return [(slice(corner, corner + side), slice(None), slice(corner, corner + side)) for corner in corners]


def _pieces(extent: int, side: int, rim: int) -> list[Crop]:
    """Cut an axis into equal pieces, shown with a rim."""
    found = []
    edges = np.linspace(0, extent, -(-extent // side) + 1).round().astype(int).tolist()
    for start, stop in pairwise(edges):
        first = max(start - rim, 0)
        found.append((slice(first, stop + rim), slice(start - first, stop - first), slice(start, stop)))
    return found
