"""Prediction of blocks of genes, one after the other or on a dask cluster, and the memory needed."""

import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._adata import GeneMatrix

if TYPE_CHECKING:
    from .._train._model import Block

LARGE_TASKS = {"distributed.admin.large-graph-warning-threshold": "16GiB"}
"""Settings of dask: tasks that hold the expression of a block or a draw are meant to be large."""


def predicted_blocks(
    predict: Callable[[Any], "Block"], matrix: GeneMatrix, blocks: list[slice | NDArray[np.int64]]
) -> Generator[tuple[slice | NDArray[np.int64], "Block"]]:
    """Yield predicted blocks of genes as they complete; closing the generator cancels the others."""
    client = current_client()
    if client is None:
        for genes in blocks:
            yield genes, predict(matrix.read(genes, finite=False))
        return
    import dask
    from dask.delayed import delayed
    from distributed import as_completed

    # As a separate task, the model is sent to every worker only once.
    model = delayed(lambda itself: itself, pure=False)(predict)
    tasks = [delayed(_impute_block, pure=False)(model, matrix.lazy(genes)) for genes in blocks]
    with dask.config.set(LARGE_TASKS):
        pending = dict(zip(client.compute(tasks), blocks, strict=True))
    try:
        for future in as_completed(list(pending)):  # type: ignore[no-untyped-call]
            yield pending.pop(future), future.result()
            future.release()
    finally:
        client.cancel(list(pending))


def _impute_block(predict: Callable[[Any], "Block"], values: Any) -> "Block":
    """Predict a block; the dashboard of a cluster shows the name of this function."""
    return predict(values)


def current_client() -> Any:
    """Return the current client of dask.distributed, None if there is none."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    with suppress(ValueError):
        distributed.get_worker()
        return None  # a worker would wait for its own thread
    with suppress(ValueError):
        return distributed.default_client()
    return None


def needed_gigabytes(n_sites: int, largest: int, n_genes: int, layers: int) -> float:
    """Estimate the memory of a run: process, maps of the largest section, and layers in memory."""
    return 0.7 + 0.45 * min(1.0, largest / 1400) + 23e-6 * largest + 6e-9 * n_sites * n_genes * layers
