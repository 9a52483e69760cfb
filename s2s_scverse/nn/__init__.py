"""The network alone: tensors in, tensors out. Needs torch, knows nothing of AnnData or training."""

from __future__ import annotations

from s2s_scverse.nn._cdcin import CDCIN
from s2s_scverse.nn._config import PRESETS, CDCINConfig
from s2s_scverse.nn._simulated import simulated_weights

__all__ = ["CDCIN", "PRESETS", "CDCINConfig", "simulated_weights"]
