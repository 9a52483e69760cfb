"""Predicting blocks of genes one after the other, or on the cluster of a dask client."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._adata import GeneMatrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._train import Block

__all__ = ["memory_explained", "needed_gigabytes", "predicted_blocks"]

Predict = Callable[[Any], "Block"]


def predicted_blocks(predict: Predict, matrix: GeneMatrix, blocks: list[slice]) -> "Generator[tuple[slice, Block]]":
    """Yield blocks of genes as they are done; closing the generator gives up the others."""
    client = _client()
    if client is None:
        for genes in blocks:
            yield genes, predict(matrix.read(genes, finite=False))
        return
    import dask
    from dask.delayed import delayed
    from distributed import as_completed

    # A task by itself, and not part of each: it is sent to every worker once.
    held = delayed(_itself, pure=False)(predict)
    tasks = [delayed(_impute_block, pure=False)(held, matrix.lazy(genes)) for genes in blocks]
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "16GiB"}):
        place = dict(zip(client.compute(tasks), blocks, strict=True))
    try:
        for future in as_completed(list(place)):  # type: ignore[no-untyped-call]
            yield place.pop(future), future.result()
            future.release()
    finally:
        client.cancel(list(place))


def _client() -> Any:
    """Return the current client of dask.distributed, None if there is none."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        distributed.get_worker()
    except ValueError:
        pass
    else:
        return None  # this runs on a cluster itself, and would wait for its own thread
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _itself(predict: Predict) -> Predict:
    return predict


def _impute_block(predict: Predict, values: Any) -> "Block":
    return predict(values)


def needed_gigabytes(n_sites: int, largest: int, n_genes: int, layers: int) -> float:
    """Memory of a run: of the process, of maps of the largest section, and of layers in memory."""
    return 0.7 + 0.45 * min(1.0, largest / 1400) + 23e-6 * largest + 6e-9 * n_sites * n_genes * layers


@contextmanager
def memory_explained(gigabytes: float, *, device: str, stored: bool) -> "Iterator[None]":
    """Convert out-of-memory errors of numpy and torch into a MemoryError that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_device = "OutOfMemory" in type(error).__name__
        if not (
            isinstance(error, MemoryError) or on_device or "allocate memory" in str(error) or "bad_alloc" in str(error)
        ):
            raise
        if on_device:
            msg = f"device {device!r} ran out of memory; pass device='cpu', or training= with a smaller batch_size"
        else:
            store = "" if stored else "store= (a folder that layers are written to as they are made), "
            msg = (
                f"needs about {gigabytes:.1f} GB of memory, more than is available; pass {store}fewer genes=, "
                "dtype='float16' or uncertainty=False"
            )
        raise MemoryError(msg) from error
