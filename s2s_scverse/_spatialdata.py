"""Loading spatialdata, which is optional."""

from types import ModuleType

__all__ = ["import_spatialdata"]


def import_spatialdata() -> ModuleType:
    """Import spatialdata, or raise an ImportError that says how to install it."""
    try:
        import spatialdata
        import spatialdata.models
        import spatialdata.transformations
    except ImportError as error:
        msg = f"this needs the package spatialdata ({error}); install it: pip install 's2s-scverse[spatialdata]'"
        raise ImportError(msg) from error
    module: ModuleType = spatialdata
    return module
