"""The network alone, as a torch module: tensors in, tensors out, without AnnData or training."""

from ._cdcin import CDCIN
from ._config import PRESETS, CDCINConfig

__all__ = ["CDCIN", "PRESETS", "CDCINConfig"]
