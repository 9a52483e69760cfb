"""Dense maps of every gene from one sparsely sampled spatial transcriptomics section."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, get, nn, pl, pp, tl

__all__ = ["__version__", "datasets", "get", "nn", "pl", "pp", "tl"]

__version__ = version("s2s-scverse")


def __getattr__(name: str) -> Any:
    # Namespaces load on first use: `import s2s_scverse` must stay as light as `import anndata`.
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
