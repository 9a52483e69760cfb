"""Tools: imputation, interpolation, evaluation, propagation of uncertainty."""

from typing import TYPE_CHECKING, Any

from ._evaluate import evaluate
from ._impute import impute
from ._interpolate import interpolate
from ._propagate import propagate

if TYPE_CHECKING:
    from .._train import TRAINING_PRESETS, TrainingConfig

__all__ = ["TRAINING_PRESETS", "TrainingConfig", "evaluate", "impute", "interpolate", "propagate"]


def __getattr__(name: str) -> Any:
    # _train imports torch, which `import s2s_scverse.tl` must not load.
    if name in ("TRAINING_PRESETS", "TrainingConfig"):
        from .. import _train

        return getattr(_train, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
