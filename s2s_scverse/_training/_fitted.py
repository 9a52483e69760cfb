"""A trained network and how to apply it to any gene of its section."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn import CDCIN
from ._batches import Batch
from ._config import TrainingConfig
from ._maps import StartingMaps, Weights
from ._pairs import Views
from ._predict import predict_sites, whole_maps
from ._scenes import build_scene
from ._section import Scale, Section

__all__ = ["Fitted", "find_gate"]

GENE_BLOCK = 256


@dataclass(frozen=True)
class Fitted:
    """A trained network with everything needed to impute the section it was trained on."""

    section: Section
    informative: NDArray[np.float32]
    """(n_measured, n_trained): the genes that shared components are made of."""
    weights: Weights | None
    training: TrainingConfig
    network: CDCIN | None
    """None: the starting map is all there is."""
    gate: float
    """Weight of the network's correction."""
    history: list[dict[str, float]]
    device: torch.device

    def predict(self, wanted: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Impute all genes.

        Parameters
        ----------
        wanted
            (n_sites,): where; all unmeasured sites by default.

        Returns
        -------
        (n_wanted, n_genes) on the scale of the values. Not below 0 where no measured value is.
        """
        section = self.section
        maps = StartingMaps(self.training.start, section.lattice, section.measured, self.informative, self.weights)
        sites = torch.from_numpy(np.flatnonzero(~section.measured if wanted is None else wanted))
        result = np.empty((len(sites), section.values.shape[1]), dtype=np.float32)
        for start in range(0, result.shape[1], GENE_BLOCK):
            block = section.values[:, start : start + GENE_BLOCK]
            result[:, start : start + GENE_BLOCK] = self._predict_block(maps, block, sites)
        if section.values.min() >= 0:
            np.maximum(result, 0, out=result)
        return result

    def _predict_block(self, maps: StartingMaps, values: NDArray[np.float32], sites: Tensor) -> NDArray[np.float32]:
        section = self.section
        if self.network is None:
            start: NDArray[np.float32] = maps(values)[0].T[sites.numpy()]
            return start
        scale = Scale.of(values, self.training.gene_scale)
        scene = build_scene(
            Views(section.lattice, section.measured, section.measured[None]),
            scale.apply(values),
            np.empty((len(section.lattice), 0), np.float32),
            gene_maps=lambda _lattice, _visible, standard: maps(standard),
            image_maps=lambda _lattice, _visible, standard: maps(standard),
            orientations=np.eye(2, dtype=np.int64)[None],
        )
        position = torch.from_numpy(section.lattice.position)[sites]
        found = [self._gated(self.network, batch, position) for batch in whole_maps(scene, scene.known[:1])]
        return scale.undo(torch.cat(found).numpy().T)

    def _gated(self, network: CDCIN, batch: Batch, position: Tensor) -> Tensor:
        """Add the gated correction to the starting map; (n_maps, len(position))."""
        start = batch.start.flatten(1)[:, position]
        return start + self.gate * (predict_sites(network, batch, position, self.training, self.device) - start)


def find_gate(network: CDCIN, validation: list[list[Batch]], training: TrainingConfig, device: torch.device) -> float:
    """Least-squares factor of the correction at the spots kept aside, shrunk by its own error, within 0 and 1.

    A factor f with the standard error e becomes f (1 - e²/f²), or 0 if e exceeds f. The error is jackknifed over spots:
    values of one spot err together, and from few spots the factor is hardly known.

    Parameters
    ----------
    validation
        Whole maps of each section.
    """
    sections = [_fits_and_powers(network, batches, training, device) for batches in validation]
    fits, powers = torch.cat(sections, dim=1).numpy()  # (n_cells,) each
    scored = powers > 0
    fits, powers = fits[scored], powers[scored]
    if not powers.any():
        return 0.0
    left_out = (fits.sum() - fits) / np.maximum(powers.sum() - powers, np.finfo(float).tiny)
    factor, square_error = fits.sum() / powers.sum(), (len(fits) - 1) * left_out.var()
    return float(np.clip(factor - square_error / factor, 0, 1)) if factor > 0 else 0.0


def _fits_and_powers(network: CDCIN, batches: list[Batch], training: TrainingConfig, device: torch.device) -> Tensor:
    """For every cell of a section's image, summed over genes and views, (2, n_cells).

    What is summed is the correction times what is missing, and the correction squared.
    """
    sums = torch.zeros(2, batches[0].start[0, 0].numel(), dtype=torch.float64)
    for batch in batches:
        position = torch.nonzero(batch.weight[0, 0].flatten()).flatten()
        start = batch.start.flatten(1)[:, position]
        correction = predict_sites(network, batch, position, training, device) - start
        missing = batch.target.flatten(1)[:, position] - start
        sums[:, position] += torch.stack([(correction * missing).sum(dim=0), correction.square().sum(dim=0)])
    return sums
