"""A trained network and how to apply it to any gene of its section."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._calibration import GAIN_GENES, gain
from .._interpolation import FOLDS, MAX_LEFT_OUT, folds
from ..nn import CDCIN
from ._batches import Batch
from ._config import TrainingConfig
from ._device import find_device
from ._maps import LeftOut, MapSettings, StartingMaps, Weights
from ._pairs import Views
from ._predict import predict_sites, whole_maps
from ._scenes import build_scene
from ._section import Scale, Section

__all__ = ["Answer", "Fitted", "Imputer", "find_gate", "leave_out"]

DOUBT = 50
FEW_SPOTS = 500
"""Up to so many, spots kept aside are left out in turn as well to learn of errors; it takes no time."""
SMALLEST_BLOCK, VALUES_PER_BLOCK = 16, 2**23
"""Genes, and values of a map of these at all sites, that are imputed at a time."""


@dataclass(frozen=True)
class Fitted:
    """A trained network with everything needed to impute the section it was trained on."""

    section: Section
    known: NDArray[np.bool_]
    """(n_sites,): the measured sites that were not kept aside."""
    left_out: LeftOut | None
    """Its spots, each predicted from others; None where they are too few, or where no weights of a blend are needed."""
    weights: Weights | None
    """Of a blend."""
    training: TrainingConfig
    network: CDCIN | None
    """None: the starting map is all there is."""
    gate: float
    """Weight of the network's correction."""
    history: list[dict[str, float]]
    device: torch.device
    seed: int
    """Of the cross-validation folds."""

    def __getstate__(self) -> dict[str, Any]:
        # Where it is unpickled there may be no such device. What was left out is quicker made again than sent.
        network = self.network and deepcopy(self.network).cpu()
        return self.__dict__ | {"network": network, "left_out": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = state["device"] if state["device"].type == "cpu" else find_device("auto")
        network = state["network"] and state["network"].to(device)
        self.__dict__.update(state | {"device": device, "network": network})


@dataclass(frozen=True)
class Answer:
    """What is imputed of a block of genes; nowhere below 0 if no measured value is."""

    sites: NDArray[np.float32]
    """(n_wanted, n_genes) on the scale of the values."""
    left_out: NDArray[np.float32] | None
    """(n_chosen, n_genes): prediction of measured spots from others."""


class Imputer:
    """Imputes any genes of a section; what does not depend on them is worked out once.

    Spots left out are predicted by the starting map: the network has seen these spots, and adds little. Where the
    starting map is that of the nearest spot and all the rest is the network's, it is the network after all.

    Parameters
    ----------
    fitted
        The section, and what was trained on it.
    wanted
        (n_sites,): where to impute; all unmeasured sites by default.
    errors
        Whether to predict measured spots from others, too.
    max_spots
        How many of them, about, in whole pieces of the section; None: all.

    Attributes
    ----------
    chosen
        (n_chosen,): which of the measured spots are predicted from others.
    """

    def __init__(
        self,
        fitted: Fitted,
        wanted: NDArray[np.bool_] | None = None,
        *,
        errors: bool = False,
        max_spots: int | None = MAX_LEFT_OUT,
    ) -> None:
        section, start = fitted.section, fitted.training.start
        self._fitted = fitted
        self._wanted = ~section.measured if wanted is None else wanted
        # Of its own: other threads may impute sections on lattices of another kind, for which the network is changed.
        self._network = deepcopy(fitted.network) if fitted.gate else None
        sites = section.lattice.unit_coordinates / section.lattice.spot_pitch(section.measured)
        spots, precision = sites[section.measured], section.precision(section.measured)
        # The network looks at maps of the whole section.
        shown = sites if self._network is not None else sites[self._wanted]
        self._maps = StartingMaps(start, spots, shown, section.values, fitted.weights, precision, fitted.seed)
        self._left_out: LeftOut | None = None
        self._folds: list[tuple[NDArray[np.bool_], Imputer]] = []
        self.chosen = np.arange(0)
        if not errors:
            return
        if start == "nearest" and self._network is not None:
            self.chosen = np.arange(len(spots))
            self._folds = [(seen, self._without(~seen)) for seen in self._seen()]
            return
        self._left_out = fitted.left_out
        if self._left_out is None or max_spots is None or len(spots) <= FEW_SPOTS:
            of = section.measured if max_spots is None or len(spots) <= FEW_SPOTS else fitted.known
            self._left_out = leave_out(section, of, fitted.training, max_spots, fitted.weights, fitted.seed)
        self.chosen = self._left_out.chosen

    def __call__(self, values: NDArray[np.float32]) -> Answer:
        """Impute a block of genes, (n_measured, n_genes)."""
        # On a large section a few at a time: maps of whole sections are what takes memory.
        size = max(SMALLEST_BLOCK, VALUES_PER_BLOCK // len(self._wanted))
        parts = [self._impute(values[:, start : start + size]) for start in range(0, values.shape[1], size)]
        if len(parts) == 1:
            return parts[0]
        left_out = [part.left_out for part in parts if part.left_out is not None]
        return Answer(
            np.hstack([part.sites for part in parts]),
            np.hstack(left_out) if left_out else None,
        )

    def _impute(self, values: NDArray[np.float32]) -> Answer:
        settings = self._maps.choose(values)
        kinds = self._maps(values, settings)
        sites = kinds[0].T if self._network is None else self._corrected(self._network, values, kinds)
        return Answer(_bounded(sites, values), self._predict_left_out(values, settings))

    def gain(self) -> float:
        """Spread of starting maps at the wanted sites over that at spots left out; see :func:`gain`."""
        section = self._fitted.section
        if self._left_out is None or not self._wanted.any():
            return 1.0
        values = section.values[:, :GAIN_GENES]
        settings = self._maps.choose(values)
        maps = self._maps(values, settings)[0]
        shown = maps if self._network is None else maps[:, self._wanted]
        distance = section.lattice.distance_to(section.measured)[self._wanted]
        left_out = self._left_out.predict(values[self._left_out.seen], settings)
        return gain(left_out, self._left_out.distance, shown.T, distance)

    def predict_trained(self) -> NDArray[np.float32]:
        """What is said of the spots chosen, each left out, of the genes trained on: (n_chosen, n_trained)."""
        if self._left_out is not None:
            return _bounded(self._left_out.predict_trained(), self._fitted.section.values)
        found = self._predict_left_out(self._fitted.section.values, None)
        if found is None:
            msg = "no spots are left out unless errors are asked for"
            raise RuntimeError(msg)
        return found

    def _predict_left_out(self, values: NDArray[np.float32], settings: MapSettings) -> NDArray[np.float32] | None:
        if self._left_out is not None:
            return _bounded(self._left_out.predict(values[self._left_out.seen], settings), values)
        if not self._folds:
            return None
        result = np.empty_like(values)
        for seen, imputer in self._folds:
            result[~seen] = imputer(values[seen]).sites
        return result

    def _corrected(
        self, network: CDCIN, values: NDArray[np.float32], kinds: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        section, training = self._fitted.section, self._fitted.training
        scale = Scale.of(values, training.gene_scale)
        maps = scale.apply(kinds.transpose(0, 2, 1)).transpose(0, 2, 1)
        scene = build_scene(
            Views(section.lattice, section.measured, section.measured[None]),
            scale.apply(values),
            np.empty((len(section.lattice), 0), np.float32),
            gene_maps=lambda *_: maps,
            image_maps=lambda *_: maps,
            orientations=np.eye(2, dtype=np.int64)[None],
            standardise=False,
        )
        position = torch.from_numpy(section.lattice.position)
        unmeasured, sites = torch.from_numpy(~section.measured), torch.from_numpy(np.flatnonzero(self._wanted))
        found = [
            self._gated(network, batch, position, unmeasured)[:, sites] for batch in whole_maps(scene, scene.known[:1])
        ]
        return scale.undo(torch.cat(found).numpy().T)

    def _gated(self, network: CDCIN, batch: Batch, position: Tensor, unmeasured: Tensor) -> Tensor:
        """Add the gated correction to the starting map; (n_maps, n_sites).

        The starting map is right on average, by construction: the correction may not change its mean.
        """
        fitted = self._fitted
        start = batch.start.flatten(1)[:, position]
        correction = predict_sites(network, batch, position, fitted.training, fitted.device) - start
        if fitted.training.gate and bool(unmeasured.any()):
            correction -= correction[:, unmeasured].mean(dim=1, keepdim=True)
        return start + fitted.gate * correction

    def _seen(self) -> list[NDArray[np.bool_]]:
        values = self._fitted.section.values
        fold = folds(values, len(values), self._fitted.seed)
        return [fold != number for number in range(FOLDS)]

    def _without(self, spots: NDArray[np.bool_]) -> "Imputer":
        """Return one that has not seen some of the measured spots, (n_measured,), and imputes those."""
        section = self._fitted.section
        left_out = np.zeros(len(section.lattice), bool)
        left_out[np.flatnonzero(section.measured)[spots]] = True
        return Imputer(replace(self._fitted, section=section.without(left_out)), left_out)


def _bounded(found: NDArray[np.float32], measured: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let no gene be negative that is negative nowhere where it was measured, (n_measured, n_genes)."""
    return np.maximum(found, np.where(measured.min(axis=0) >= 0, np.float32(0), np.float32(-np.inf)))


def leave_out(
    section: Section,
    known: NDArray[np.bool_],
    training: TrainingConfig,
    max_spots: int | None = MAX_LEFT_OUT,
    weights: Weights | None = None,
    seed: int = 0,
) -> LeftOut:
    """Predict those measured sites that are known, (n_sites,), from others of them."""
    sites = section.lattice.unit_coordinates / section.lattice.spot_pitch(known)
    shown = known[section.measured]
    values, precision = section.values[shown], section.precision(known)
    found = LeftOut(training.start, sites[known], sites, values, precision, max_spots, weights, seed)
    found.seen = np.flatnonzero(shown)
    found.chosen = found.seen[found.chosen]
    return found


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
