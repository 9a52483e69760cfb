"""The network alone: tensors in, tensors out. Needs torch, knows nothing of AnnData or training."""

from ._cdcin import CDCIN
from ._config import PRESETS, CDCINConfig

__all__ = ["CDCIN", "PRESETS", "CDCINConfig"]
