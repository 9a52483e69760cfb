"""The network alone: tensors in, tensors out. Needs torch, knows nothing of AnnData or training."""

from __future__ import annotations

from s2s_scverse.nn._cdcin import CDCIN
from s2s_scverse.nn._config import PRESETS, CDCINConfig

__all__ = ["CDCIN", "PRESETS", "CDCINConfig"]
