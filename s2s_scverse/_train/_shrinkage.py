"""The shrinkage factor of the network's correction."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from ..nn import CDCIN
from ._apply import predict_sites
from ._config import TrainingConfig
from ._scenes import Batch

__all__ = ["find_shrinkage"]

DOUBT: Final = 50


def find_shrinkage(
    network: CDCIN, validation: list[list[Batch]], training: TrainingConfig, device: torch.device
) -> float:
    """Least-squares factor of the correction at validation spots, shrunk, within 0 and 1.

    A factor f with the standard error e becomes f (1 - e²/f²), or 0 if e exceeds f. The error is jackknifed over spots,
    because errors at one spot are correlated. `DOUBT` pseudo-spots without error are added: validation spots differ
    from unmeasured sites, and corrections that helped at a few of them mostly did not help there.
    """
    sections = [_fits_and_powers(network, batches, training, device) for batches in validation]
    fits, powers = torch.cat(sections, dim=1).numpy()  # (n_cells,) each
    scored = powers > 0
    fits, powers = fits[scored], powers[scored]
    if not powers.any():
        return 0.0
    left_out = (fits.sum() - fits) / np.maximum(powers.sum() - powers, np.finfo(float).tiny)
    factor, square_error = fits.sum() / powers.sum(), (len(fits) - 1) * left_out.var()
    shrunk = np.clip(factor - square_error / factor, 0, 1) if factor > 0 else 0.0
    return float(shrunk * len(fits) / (len(fits) + DOUBT))


def _fits_and_powers(network: CDCIN, batches: list[Batch], training: TrainingConfig, device: torch.device) -> Tensor:
    """For every cell of a section's image, summed over genes and masks, (2, n_cells).

    Sums of the correction times the residual of the initial estimate, and of the squared correction.
    """
    sums = torch.zeros(2, batches[0].start[0, 0].numel(), dtype=torch.float64)
    for batch in batches:
        position = torch.nonzero(batch.weight[0, 0].flatten()).flatten()
        start = batch.start.flatten(1)[:, position]
        correction = predict_sites(network, batch, position, training, device) - start
        missing = batch.target.flatten(1)[:, position] - start
        sums[:, position] += torch.stack([(correction * missing).sum(dim=0), correction.square().sum(dim=0)])
    return sums
