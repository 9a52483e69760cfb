"""A trained network and how to apply it to any gene of its section."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._interpolation import FOLDS, Kriging, folds
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
DOUBT = 50
MAX_LEFT_OUT = 1500


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
        precision = section.precision(section.measured)
        maps = StartingMaps(
            self.training.start, section.lattice, section.measured, self.informative, self.weights, precision
        )
        sites = torch.from_numpy(np.flatnonzero(~section.measured if wanted is None else wanted))
        result = np.empty((len(sites), section.values.shape[1]), dtype=np.float32)
        for start in range(0, result.shape[1], GENE_BLOCK):
            block = section.values[:, start : start + GENE_BLOCK]
            result[:, start : start + GENE_BLOCK] = self._predict_block(maps, block, sites)
        if section.values.min() >= 0:
            np.maximum(result, 0, out=result)
        return result

    def predict_start(self, wanted: NDArray[np.bool_], predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the map asked by `predict_left_out` says, (n_wanted, n_genes), given what `predict` said."""
        if self.network is None or self.gate == 0 or self.training.start == "nearest":
            return predicted
        return replace(self, network=None).predict(wanted)

    def predict_left_out(self, max_spots: int | None = MAX_LEFT_OUT) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Predict measured spots from others: five times, a fifth of them is left out.

        It is the starting map that is asked: the network has seen these spots, and adds little. Where the starting map
        is that of the nearest spot and all the rest is the network's, it is the network after all.

        Parameters
        ----------
        max_spots
            Of more spots, about so many in whole pieces of the section are used; None: all.

        Returns
        -------
        Which of the measured spots, (n_chosen,), and the predictions, (n_chosen, n_genes).
        """
        section = self.section
        spots, imputer = section.lattice.subset(section.measured), self
        chosen = np.arange(len(spots))
        if self.training.start != "nearest" or self.network is None:
            sites = spots.unit_coordinates / section.lattice.spot_pitch(section.measured)
            chosen = chosen if max_spots is None else Kriging(sites, sites[:0]).sample(max_spots)
            depth = None if section.depth is None else section.depth[chosen]
            section = Section(spots.subset(chosen), np.ones(len(chosen), bool), section.values[chosen], depth)
            imputer = replace(self, section=section, informative=self.informative[chosen], network=None)
        rows = np.flatnonzero(section.measured)
        fold = folds(section.values)
        result = np.empty_like(section.values)
        for number in range(FOLDS):
            left_out = np.zeros(len(section.lattice), bool)
            left_out[rows[fold == number]] = True
            result[fold == number] = imputer._without(left_out).predict(left_out)
        return chosen, result

    def _without(self, left_out: NDArray[np.bool_]) -> "Fitted":
        """Return the same with fewer measured sites."""
        section = self.section
        kept = ~left_out[section.measured]
        depth = None if section.depth is None else section.depth[kept]
        fewer = Section(section.lattice, section.measured & ~left_out, section.values[kept], depth)
        return replace(self, section=fewer, informative=self.informative[kept])

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
            gene_maps=lambda _lattice, _visible, standard, _precision: maps(standard),
            image_maps=lambda _lattice, _visible, standard, _precision: maps(standard),
            orientations=np.eye(2, dtype=np.int64)[None],
            standardise=False,
        )
        position = torch.from_numpy(section.lattice.position)
        unmeasured = torch.from_numpy(~section.measured)
        found = [
            self._gated(self.network, batch, position, unmeasured)[:, sites]
            for batch in whole_maps(scene, scene.known[:1])
        ]
        return scale.undo(torch.cat(found).numpy().T)

    def _gated(self, network: CDCIN, batch: Batch, position: Tensor, unmeasured: Tensor) -> Tensor:
        """Add the gated correction to the starting map; (n_maps, n_sites).

        The starting map is right on average, by construction: the correction may not change its mean.
        """
        start = batch.start.flatten(1)[:, position]
        correction = predict_sites(network, batch, position, self.training, self.device) - start
        if self.training.gate and bool(unmeasured.any()):
            correction -= correction[:, unmeasured].mean(dim=1, keepdim=True)
        return start + self.gate * correction


def find_gate(network: CDCIN, validation: list[list[Batch]], training: TrainingConfig, device: torch.device) -> float:
    """Least-squares factor of the correction at the spots kept aside, shrunk, within 0 and 1.

    A factor f with the standard error e becomes f (1 - e²/f²), or 0 if e exceeds f. The error is jackknifed over spots:
    values of one spot err together. Nor are spots kept aside quite what unmeasured sites are, and what helped at a few
    of them mostly did not help there: `DOUBT` more spots, at which nothing is missing, are taken to have been seen.

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
    shrunk = np.clip(factor - square_error / factor, 0, 1) if factor > 0 else 0.0
    return float(shrunk * len(fits) / (len(fits) + DOUBT))


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
