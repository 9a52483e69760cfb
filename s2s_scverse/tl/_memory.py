"""Running out of memory, told as what it is."""

from collections.abc import Iterator
from contextlib import contextmanager

from ._estimate import Estimate

__all__ = ["memory_explained"]


@contextmanager
def memory_explained(expected: Estimate | None, *, device: str, stored: bool) -> Iterator[None]:
    """Turn what numpy and torch say of memory into what can be done.

    Parameters
    ----------
    expected
        What the run takes, where that is known.
    device
        Where it trains.
    stored
        Whether its layers go to a folder.

    Raises
    ------
    MemoryError
        If there was too little.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_of_memory(error):
            raise
        if "OutOfMemory" in type(error).__name__:
            msg = f"too little memory on device {device!r}: pass device='cpu', or training= with a smaller batch_size"
        else:
            what = (
                "more memory than there is"
                if expected is None
                else f"about {expected.gigabytes:.1f} GB, and there was less"
            )
            store = "" if stored else "store= (a folder that layers are written to as they are made), "
            msg = f"this takes {what}: pass {store}fewer genes=, dtype='float16' or uncertainty=False"
        raise MemoryError(msg) from error


def _is_of_memory(error: Exception) -> bool:
    """Torch raises a RuntimeError on a CPU, and a class of its own on accelerators."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    return "allocate memory" in str(error) or "bad_alloc" in str(error)
