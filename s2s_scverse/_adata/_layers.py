"""Layers that blocks of imputed genes are written to, in memory or in a zarr folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_folder, check_path
from ._genes import GENE_BLOCK

__all__ = ["Layers", "check_store", "open_layers"]

LOCK = ".lock"
ENCODING: dict[str, Any] = {"encoding-type": "array", "encoding-version": "0.2.0"}  # for anndata.io.read_elem
SITE_CHUNK = 4096  # sites in a chunk of a stored layer, which has the genes of one block


@dataclass
class Layers:
    """Imputed values, their standard deviations and gene-wise numbers; NaN for genes that are not written."""

    values: Any  # (n_obs, n_genes), numpy, zarr or, once complete, dask
    std: Any  # the same, or None
    by_gene: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # key of var -> (n_genes,)

    def write(
        self,
        genes: slice | NDArray[np.int64],
        values: NDArray[np.float32],
        std: NDArray[np.float32] | None,
        by_gene: dict[str, NDArray[np.float64]],
    ) -> None:
        """Write a block of genes, (n_obs, n_block) and (n_block,)."""
        for array, block in ((self.values, values), (self.std, std)):
            if block is None:
                continue
            if isinstance(genes, slice) or isinstance(array, np.ndarray):
                array[:, genes] = block
            else:  # zarr 3 cannot set separate columns of a shard, which holds this block alone
                whole = np.full((len(block), genes[-1] + 1 - genes[0]), np.nan, array.dtype)
                whole[:, genes - genes[0]] = block
                array[:, genes[0] : genes[-1] + 1] = whole
        for name, numbers in by_gene.items():
            everywhere = self.by_gene.setdefault(name, np.full(self.values.shape[1], np.nan, np.float32))
            everywhere[genes] = numbers


@contextmanager
def open_layers(
    store: Path | None, key: str, n_obs: int, written: NDArray[np.bool_], dtype: str, *, std: bool
) -> Iterator[Layers]:
    """Yield empty layers for the genes `written` (n_genes,), in memory or in the folder `store`.

    The folder is named ``<store>.partial`` until the context ends, when the layers become dask arrays. Raises a
    FileExistsError if another process writes there.
    """
    shape = (n_obs, len(written))
    if store is None:
        arrays: list[Any] = [np.empty(shape, dtype) for _ in range(1 + std)]
        for array in arrays if not written.all() else []:
            array.fill(np.nan)
        yield Layers(arrays[0], arrays[1] if std else None)
        return
    import dask.array as da
    import zarr

    names = [key, _keys.STD.format(key)] if std else [key]
    partial = _partial(store)
    with _locked(partial):
        for old in partial.iterdir():
            if old.name != LOCK:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        group = zarr.create_group(partial, overwrite=False)
        chunks = min(SITE_CHUNK, n_obs), min(GENE_BLOCK, len(written))
        shards = -(-n_obs // chunks[0]) * chunks[0], chunks[1]  # one file for each block of genes
        made: dict[str, Any] = {"shape": shape, "chunks": chunks, "shards": shards, "dtype": dtype}
        arrays = [group.create_array(name, attributes=ENCODING, fill_value=np.nan, **made) for name in names]
        layers = Layers(arrays[0], arrays[1] if std else None)
        try:
            yield layers
        except OSError as error:
            msg = f"store={str(store)!r} could not be written ({error.strerror or error})"
            raise OSError(error.errno, msg) from error
    partial.rename(store)
    (store / LOCK).unlink(missing_ok=True)
    stored = [da.from_zarr(str(store), component=name) for name in names]  # type: ignore[no-untyped-call]
    layers.values, layers.std = stored[0], stored[1] if std else None


def check_store(path: str | PathLike[str]) -> Path:
    """Return the path of a folder that can be made; a ``<path>.partial`` of an interrupted call may exist."""
    store = check_path("store", path)
    check_folder(store.parent, f"store={str(path)!r}")
    partial = _partial(store)
    ours = not partial.exists() or (partial / LOCK).exists() or (partial.is_dir() and not any(partial.iterdir()))
    if store.exists() or not ours:
        there = store if store.exists() else partial
        msg = f"{there} exists already; pass another store, or delete it"
        raise FileExistsError(msg)
    return store


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Make the folder, and lock it against other processes."""
    from filelock import FileLock, Timeout

    try:
        partial.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"the folder {partial} cannot be made: {error.strerror}; choose another store"
        raise OSError(error.errno, msg) from error
    try:
        with FileLock(partial / LOCK, timeout=0):
            yield
    except Timeout:
        msg = f"{partial} is being written by another process; wait for it, or pass another store"
        raise FileExistsError(msg) from None


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
