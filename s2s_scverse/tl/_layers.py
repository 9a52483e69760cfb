"""Where imputed blocks of genes come from, and the layers they go to: in memory or in a zarr folder."""

import errno
import hashlib
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_folder, check_path
from .._progress import Progress
from .._section import Values
from ._survey import gene_blocks

if TYPE_CHECKING:
    from collections.abc import Generator
    from os import PathLike

    from .._training import Block, Imputation

__all__ = [
    "Layers",
    "MemoryLayers",
    "StoredLayers",
    "check_free",
    "check_store",
    "digest",
    "impute_blocks",
    "open_layers",
]

FINISHED, RELIABILITY = ".finished", ".reliability"
"""Arrays beside the layers: which blocks are written, and the reliability of the genes asked for."""
ASKED, RUN = "s2s_asked", "s2s_run"
"""Attributes that say of which run a folder is."""
ENCODING = {"encoding-type": "array", "encoding-version": "0.2.0"}
"""Attributes with which :func:`anndata.io.read_elem` reads an array."""
SITE_CHUNK = 4096
"""Sites of a chunk of a stored layer; it has the genes of one block."""


class Layers(Protocol):
    """Layers that are filled block by block."""

    def is_finished(self, genes: slice) -> bool:
        """Whether an earlier run has written this block."""

    def write(self, genes: slice, block: "Block") -> None:
        """Put a block into its place."""

    def finish(self) -> tuple[Any, Any, NDArray[np.float32] | None]:
        """Return the layer, its standard deviations and the reliability of all genes of the AnnData."""

    def close(self) -> None:
        """Let others write there."""


def impute_blocks(
    imputation: "Imputation", values: Values, wanted: NDArray[np.bool_], layers: Layers, progress: Progress
) -> None:
    """Impute the genes that are not finished, block by block; on the cluster of a dask client, where there is one."""
    every = gene_blocks(wanted)
    blocks = [block for block in every if not layers.is_finished(block)]
    client = _client()
    found = _here(imputation, values, blocks) if client is None else _on_cluster(client, imputation, values, blocks)
    progress.begin("imputing", len(every), done=len(every) - len(blocks))
    # Closed whatever happens: what is still to be computed elsewhere is given up.
    with closing(found):
        for genes, block in found:
            layers.write(genes, block)
            progress.step()


def _here(imputation: "Imputation", values: Values, blocks: list[slice]) -> "Generator[tuple[slice, Block]]":
    for genes in blocks:
        yield genes, imputation(values.read(genes, finite=False))


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


def _on_cluster(
    client: Any, imputation: "Imputation", values: Values, blocks: list[slice]
) -> "Generator[tuple[slice, Block]]":
    import dask
    from dask.delayed import delayed
    from distributed import as_completed

    # A task by itself, and not part of each: it is sent to every worker once.
    held = delayed(_itself, pure=False)(imputation)
    tasks = [delayed(_impute_block, pure=False)(held, values.lazy(genes)) for genes in blocks]
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "16GiB"}):
        futures = client.compute(tasks)
    place = dict(zip(futures, blocks, strict=True))
    del futures
    try:
        for future in as_completed(list(place)):  # type: ignore[no-untyped-call]
            yield place.pop(future), future.result()
            future.release()
    finally:
        client.cancel(list(place))


def _itself(imputation: "Imputation") -> "Imputation":
    return imputation


def _impute_block(imputation: "Imputation", values: Any) -> "Block":
    return imputation(values)


class MemoryLayers:
    """Layers in memory.

    Parameters
    ----------
    n_obs
        Sites of the AnnData.
    wanted
        (n_genes,): which of its genes to write; others are NaN.
    dtype
        Of the layers.
    """

    def __init__(self, n_obs: int, wanted: NDArray[np.bool_], dtype: str) -> None:
        self._shape, self._wanted, self._dtype = (n_obs, len(wanted)), wanted, dtype
        self._values = self._empty()
        self._std: NDArray[np.floating] | None = None
        self._reliability: NDArray[np.float32] | None = None

    def is_finished(self, genes: slice) -> bool:  # noqa: ARG002 - they begin empty
        """No block is."""
        return False

    def write(self, genes: slice, block: "Block") -> None:
        """Put a block into its place."""
        asked = np.flatnonzero(self._wanted[genes])
        columns = genes.start + asked
        self._values[:, columns] = block.values[:, asked]
        if block.std is not None:
            self._std = self._empty() if self._std is None else self._std
            self._std[:, columns] = block.std[:, asked]
        if block.reliability is not None:
            if self._reliability is None:
                self._reliability = np.full(self._shape[1], np.nan, np.float32)
            self._reliability[columns] = block.reliability[asked]

    def finish(self) -> tuple[Any, Any, NDArray[np.float32] | None]:
        """Return numpy arrays."""
        return self._values, self._std, self._reliability

    def close(self) -> None:
        """Nothing is held open."""

    def _empty(self) -> NDArray[np.floating]:
        if self._wanted.all():
            return np.empty(self._shape, self._dtype)
        return np.full(self._shape, np.nan, self._dtype)


class StoredLayers:
    """Layers in a zarr folder, which bears its name only when it is complete.

    Until then it is called ``<name>.partial``; of what an interrupted run has left there, blocks that it had finished
    are kept if it was the same run. A complete folder of the same run is taken as it is.

    Parameters
    ----------
    path
        Of the folder.
    name
        Of the layer in it.
    n_obs, wanted, dtype
        As for `MemoryLayers`.
    asked, run
        What tells one run from another, before and after training.

    Raises
    ------
    FileExistsError
        If the folder is complete, and of another run.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        n_obs: int,
        wanted: NDArray[np.bool_],
        dtype: str,
        *,
        asked: str,
        run: str,
    ) -> None:
        self._path, self._name, self._shape, self._wanted, self._dtype = path, name, (n_obs, len(wanted)), wanted, dtype
        self._block = gene_blocks(np.ones(len(wanted), bool))[0].stop
        self._attributes: dict[str, Any] = {ASKED: asked, RUN: run}
        self._lock, self._complete = _Lock(), False
        try:
            self._group = self._opened()
        except BaseException:
            self.close()
            raise

    def is_finished(self, genes: slice) -> bool:
        """Whether this block had been written when the run was interrupted."""
        return bool(self._group[FINISHED][genes.start // self._block])

    def write(self, genes: slice, block: "Block") -> None:
        """Write a block, and then that it is finished."""
        std, unwanted = _keys.STD.format(self._name), ~self._wanted[genes]
        try:
            for name, values in ((self._name, block.values), (std, block.std)):
                if values is not None:
                    values[:, unwanted] = np.nan
                    self._array(name)[:, genes] = values.astype(self._dtype)
            if block.reliability is not None:
                self._group[RELIABILITY][genes] = np.where(unwanted, np.nan, block.reliability)
            self._group[FINISHED][genes.start // self._block] = True
        except OSError as error:
            msg = (
                f"store={str(self._path)!r} could not be written ({error.strerror or error}); what is finished stays "
                f"in {_partial(self._path)}, and the same call goes on from there"
            )
            raise OSError(error.errno, msg) from error

    def finish(self) -> tuple[Any, Any, NDArray[np.float32] | None]:
        """Give the folder its name, and return dask arrays of what is in it."""
        import dask.array as da

        if not self._complete:
            if self._path.exists():
                raise FileExistsError(_there(self._path))
            _partial(self._path).rename(self._path)
            self._group = _open(self._path)
        layers = {
            name: da.from_zarr(str(self._path), component=name)  # type: ignore[no-untyped-call]
            for name in (self._name, _keys.STD.format(self._name))
            if name in self._group
        }
        reliability = None
        if len(layers) == 2:
            reliability = np.asarray(self._group[RELIABILITY][:])
        return layers[self._name], layers.get(_keys.STD.format(self._name)), reliability

    def close(self) -> None:
        """Let others write there."""
        self._lock.release()

    def _opened(self) -> Any:
        import zarr

        if self._path.exists():
            group = _open(self._path)
            if group is None or group.attrs.get(RUN) != self._attributes[RUN]:
                raise FileExistsError(_there(self._path))
            self._complete = True
            return group
        partial = _partial(self._path)
        try:
            partial.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"store={str(self._path)!r} cannot be made: {error.strerror}"
            raise OSError(error.errno, msg) from error
        self._lock.take(partial)
        if self._path.exists():
            partial.rmdir()
            raise FileExistsError(_finished(partial))
        group = _open(partial)
        if group is not None and group.attrs.get(RUN) == self._attributes[RUN] and FINISHED in group:
            return group
        _check_ours(partial)
        # The folder itself stays, and with it the lock; what says whose it is goes last.
        for each in sorted(partial.iterdir(), key=lambda each: each.name == "zarr.json"):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        group = zarr.create_group(partial, attributes=self._attributes)
        made: dict[str, Any] = {"chunks": (self._block,), "dtype": "f4", "fill_value": np.nan}
        group.create_array(RELIABILITY, shape=self._shape[1:], **made)
        n_blocks = -(-self._shape[1] // self._block)
        group.create_array(FINISHED, shape=(n_blocks,), chunks=(1,), dtype=bool, fill_value=False)
        for name in (RELIABILITY, FINISHED):
            group[name].attrs.update(ENCODING)
        return group

    def _array(self, name: str) -> Any:
        if name in self._group:
            return self._group[name]
        chunks = tuple(min(most, extent) for most, extent in zip((SITE_CHUNK, self._block), self._shape, strict=True))
        made: dict[str, Any] = {"chunks": chunks, "dtype": self._dtype, "fill_value": np.nan, "attributes": ENCODING}
        return self._group.create_array(name, shape=self._shape, **made)


class _Lock:
    """Keeps all others from writing into a folder, until it is released or the process ends, however that ends."""

    def __init__(self) -> None:
        self._folder: int | None = None

    def take(self, folder: Path) -> None:
        """Take it.

        Raises
        ------
        FileExistsError
            If somebody else has it.
        """
        import fcntl

        try:
            self._folder = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            raise FileExistsError(_finished(folder)) from None
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return  # a file system without locks
            msg = f"{folder} is being written by somebody else; wait for the end of that, or pass another store"
            raise FileExistsError(msg) from None
        if not folder.exists() or not os.path.samestat(os.fstat(self._folder), folder.stat()):
            self.release()
            raise FileExistsError(_finished(folder))

    def release(self) -> None:
        """Let others have it."""
        if self._folder is not None:
            import fcntl

            fcntl.flock(self._folder, fcntl.LOCK_UN)  # forked processes may still hold it open
            os.close(self._folder)
            self._folder = None


def open_layers(
    folder: Path | None,
    key: str,
    wanted: NDArray[np.bool_],
    dtype: str,
    *,
    asked: str,
    imputation: "Imputation",
) -> Layers:
    """Make layers in memory, or those in a folder, which an interrupted run may have begun."""
    if folder is None:
        return MemoryLayers(imputation.n_obs, wanted, dtype)
    run = digest(asked, *(array for part in imputation.parts for array in part.state()))
    return StoredLayers(folder, key, imputation.n_obs, wanted, dtype, asked=asked, run=run)


def check_store(path: "str | PathLike[str]") -> Path:
    """Refuse what is no path, and a folder that cannot be made.

    Raises
    ------
    TypeError
        If it is no path.
    FileNotFoundError
        If the folder it is to be in does not exist.
    """
    found = check_path("store", path)
    check_folder(found.parent, f"store={str(path)!r}")
    return found


def check_free(path: Path, asked: str) -> None:
    """Refuse a store that is there already, unless it is what is asked for.

    Raises
    ------
    FileExistsError
        If it is something else, or another process is writing it.
    """
    if path.exists():
        group = _open(path)
        if group is None or group.attrs.get(ASKED) != asked:
            raise FileExistsError(_there(path))
    partial = _partial(path)
    if partial.exists():
        lock = _Lock()
        if partial.is_dir():
            lock.take(partial)
        lock.release()
        _check_ours(partial)


def _check_ours(partial: Path) -> None:
    """Refuse to remove anything but what an interrupted run left."""
    group = _open(partial) if partial.is_dir() else None
    # Zarr gives a file its name when it is whole: a run that was killed at its very beginning has left no other.
    begun = partial.is_dir() and all(each.name.endswith(".partial") for each in partial.iterdir())
    if (group is None or RUN not in group.attrs) and not begun:
        raise FileExistsError(_there(partial))


def _finished(partial: Path) -> str:
    return f"{partial} has just been finished by somebody else; call again, or pass another store"


def _there(path: Path) -> str:
    return f"store={str(path)!r} exists already, and is not what this call would write; pass another path, or delete it"


def _open(path: Path) -> Any:
    """Return a zarr group, None if it is none that can be read."""
    import zarr

    try:
        return zarr.open_group(path, mode="r+")
    except Exception:  # noqa: BLE001 - zarr raises what it likes for metadata that is damaged
        return None


def digest(*found: object) -> str:
    """Return what tells some arrays and plain values from others."""
    result = hashlib.sha256()
    for each in found:
        result.update(np.ascontiguousarray(each).tobytes() if isinstance(each, np.ndarray) else repr(each).encode())
    return result.hexdigest()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
