"""How long imputing will take, and how much memory: fitted to what was measured on two cores of a server.

``python benchmarks/estimate.py`` prints measurements beside what is said here. A factor of two either way is to be
expected on other machines; accelerators are not taken into account.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._training import TrainingConfig
    from ..nn import CDCINConfig

__all__ = ["KRIGED_VALUE", "Estimate", "Size", "estimate"]

STEP: Final = 3e-3
"""Seconds of a step of training per window of a batch, with the network of the default preset."""
STEP_PER_SITE: Final = 2.2e-6
"""More for each site of the window."""
LARGEST_WINDOW: Final = 2600
"""Sites of tissue in a window of 64 x 64, about."""
TRAINED_SPOTS, EXACT_SPOTS = 3000, 1600
"""Of larger sections so many spots are trained on; kriging cuts larger sections into tiles."""
IMPUTED_VALUE, KRIGED_VALUE = 1e-6, 2.5e-7
"""Seconds; other classical answers take less than kriging."""


@dataclass(frozen=True)
class Size:
    """Spots and all sites of a section."""

    spots: int
    sites: int


@dataclass(frozen=True)
class Estimate:
    """What a run will cost."""

    phases: dict[str, float]
    """Seconds, in order."""
    gigabytes: float
    """Of memory at most, for the whole process."""

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(self.phases.values())


def estimate(
    sections: Sequence[Size],
    n_genes: int,
    network: "CDCINConfig",
    training: "TrainingConfig",
    *,
    errors: bool,
    held: int | None = None,
) -> Estimate:
    """Say what imputing some genes of some sections will cost; `held`: genes of layers in memory, if not those."""
    trained = [min(size.spots, TRAINED_SPOTS) for size in sections]
    maps = sum(1.5 + 0.009 * spots + 1e-9 * min(spots, EXACT_SPOTS) ** 3 for spots in trained)
    window = min(LARGEST_WINDOW, max(size.sites for size in sections))
    step = training.batch_size * (STEP + STEP_PER_SITE * window) * _relative_cost(network)
    tiled = sum(1.0 + 0.0045 * max(0, size.spots - EXACT_SPOTS) for size in sections)
    every = sum(size.sites for size in sections)
    values = n_genes * every
    phases = {"starting maps": maps, "training": training.max_epochs * training.steps_per_epoch * step}
    if errors:
        phases |= {"errors": tiled, "imputing": 0.3 + IMPUTED_VALUE * values}
    else:
        phases["imputing"] = tiled + IMPUTED_VALUE * values
    sites, layers = max(size.sites for size in sections), (n_genes if held is None else held) * 4e-9 * every
    layers *= 2 if errors else 1
    return Estimate(phases, 0.7 + 0.45 * min(1.0, sites / 1400) + 23e-6 * sites + 1.5 * layers)


def _relative_cost(network: "CDCINConfig") -> float:
    """How much work a network is, over that of the default preset: in proportion to its parameters."""
    import torch

    from ..nn import CDCIN, PRESETS

    with torch.device("meta"):
        own, default = (
            sum(weights.numel() for weights in CDCIN(config).parameters()) for config in (network, PRESETS["default"])
        )
    return own / default
