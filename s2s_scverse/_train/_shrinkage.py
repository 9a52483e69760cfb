"""The shrinkage factor of the network's correction."""

from typing import Final, NamedTuple

import numpy as np
import torch

from .._predict._arrays import Float64
from ..nn import CDCIN
from ._apply import predict_sites
from ._config import TrainingConfig
from ._scenes import Batch

DOUBT: Final = 50
FACTORS: Final = np.linspace(0, 1, 11)


class Correction(NamedTuple):
    """Shrinkage factor of a network's correction, and its gain at validation spots."""

    gain: float  # part of the squared error of the initial estimate that it removes when shrunk
    factor: float  # that it is shrunk by, 0 to 1


def find_shrinkage(
    network: CDCIN, validation: list[list[Batch]], training: TrainingConfig, device: torch.device
) -> Correction:
    """Find the factor of the correction at validation spots: the smaller one of two criteria.

    The least-squares factor f with the standard error e becomes f (1 - e²/f²), or 0 if e exceeds f. The error is
    jackknifed over spots, because errors at one spot are correlated. `DOUBT` pseudo-spots without error are added:
    validation spots differ from unmeasured sites, and corrections that helped at a few of them mostly did not help
    there. The other criterion is the mean correlation with the truth over genes less its standard error, because least
    squares hardly sees genes whose estimates are nearly constant.
    """
    found = [_sums(network, batches, training, device) for batches in validation]
    fits, powers, errors = np.concatenate([of_cells for of_cells, _ in found], axis=1)  # (n_cells,) each
    scored = powers > 0
    if not scored.any():
        return Correction(0.0, 0.0)
    fits, powers = fits[scored], powers[scored]
    jackknifed = (fits.sum() - fits) / np.maximum(powers.sum() - powers, np.finfo(float).tiny)
    factor, square_error = fits.sum() / powers.sum(), (len(fits) - 1) * jackknifed.var()
    shrunk = np.clip(factor - square_error / factor, 0, 1) if factor > 0 else 0.0
    shrunk *= len(fits) / (len(fits) + DOUBT)
    best = float(min(shrunk, _best_correlated(np.concatenate([of_genes for _, of_genes in found], axis=1))))
    return Correction(float(best * (2 * fits.sum() - best * powers.sum()) / errors.sum()), best)


def _sums(
    network: CDCIN, batches: list[Batch], training: TrainingConfig, device: torch.device
) -> tuple[Float64, Float64]:
    """Sums over genes and masks for every cell (3, n_cells), and over spots for every mask and gene (6, n).

    The former are of the correction times the residual of the initial estimate, and of their squares; the latter are
    products of the centred estimate, correction and truth.
    """
    cells = np.zeros((3, batches[0].start[0, 0].numel()))
    genes = []
    for batch in batches:
        position = torch.nonzero(batch.weight[0, 0].flatten()).flatten()
        start, truth = (each.flatten(1)[:, position] for each in (batch.start, batch.target))
        correction = predict_sites(network, batch, position, training, device) - start
        s, c, t = (each.double().numpy() for each in (start, correction, truth))
        cells[:, position.numpy()] += np.sum([c * (t - s), c * c, (t - s) ** 2], axis=1)
        s, c, t = (each - each.mean(axis=1, keepdims=True) for each in (s, c, t))
        genes.append(np.sum([s * s, s * c, c * c, s * t, c * t, t * t], axis=2))
    return cells, np.concatenate(genes, axis=1)


def _best_correlated(sums: Float64) -> float:
    """Return the factor with the largest correlation, mean less standard error, from sums (6, n) of `_sums`."""
    varying = (sums[0] > 0) & (sums[5] > 0)
    ss, sc, cc, st, ct, tt = sums[:, varying, None]
    if not varying.any():
        return 1.0
    squares = np.maximum(ss + 2 * FACTORS * sc + FACTORS**2 * cc, np.finfo(float).tiny)
    correlation = (st + FACTORS * ct) / np.sqrt(squares * tt)
    gained = correlation - correlation[:, :1]
    return float(FACTORS[np.argmax(gained.mean(axis=0) - gained.std(axis=0) / np.sqrt(len(gained)))])
