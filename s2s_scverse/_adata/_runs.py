"""Runs in an AnnData: their names and entries, the layers that blocks of genes are written to, and their results."""

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._checks import check_folder, check_layer, check_path, check_type, few, named_layers
from ._genes import GENE_BLOCK

__all__ = [
    "Layers",
    "check_copy",
    "check_keys",
    "check_run_key",
    "check_store",
    "find_runs",
    "find_source",
    "open_layers",
    "own",
    "read_visible",
    "versions",
    "write_evaluation",
    "write_image_features",
    "write_run",
]

LOCK = ".lock"
ENCODING: dict[str, Any] = {"encoding-type": "array", "encoding-version": "0.2.0"}  # for anndata.io.read_elem
SITE_CHUNK = 4096  # sites in a chunk of a stored layer, which has the genes of one block
RESERVED = {_keys.GRID: "the lattice", _keys.EVALUATION: "the scores", _keys.IMAGE: "image features"}


def find_runs(adata: AnnData) -> dict[str, Mapping[str, Any]]:
    """Return the entries of runs in uns by the name of their layer; empty ones where `anndata.concat` dropped them."""
    found = {name: run for name, run in adata.uns.get(_keys.UNS, {}).items() if name not in RESERVED}
    return {name: {} for name in named_layers(adata) if _keys.VISIBLE.format(name) in adata.obs} | found


def check_keys(adata: AnnData, keys: object, *, argument: str = "keys") -> list[str]:
    """Return the names of existing layers as a list."""
    names = [keys] if isinstance(keys, str) else list(keys) if isinstance(keys, Sequence | np.ndarray) else None
    if names is None or not all(isinstance(name, str) for name in names):
        msg = f"keys must be the name of a layer or a list of them, found {keys!r}"
        raise TypeError(msg)
    if not names or len(set(names)) < len(names):
        msg = f"keys must name at least one layer, and each once, found {names!r}"
        raise ValueError(msg)
    if missing := [name for name in names if name not in adata.layers]:
        known = few(named_layers(adata)) or "none"
        msg = f"layers not found: {few(missing)}; adata.layers has: {known}; call s2s.tl.impute or pass {argument}="
        raise KeyError(msg)
    return names


def find_source(adata: AnnData, keys: Sequence[str], given: str | None) -> str | None:
    """Return the layer of measured values, None for X: the one `given`, else the one that all the runs read."""
    runs = find_runs(adata)
    sources = sorted({str(runs[name]["layer"]) for name in keys if "layer" in runs.get(name, {})}) or ["X"]
    if given is None and len(sources) > 1:
        msg = f"the layers in keys were made from different values ({few(sources)}); pass layer={sources[0]!r}"
        raise ValueError(msg)
    source = sources[0] if given is None else given
    if source == "X" and source not in adata.layers:
        return None
    check_layer(adata, source)
    return source


def read_visible(adata: AnnData, key: str) -> NDArray[np.bool_] | None:
    """Return the sites that were measured in a run; None without a record."""
    column = _keys.VISIBLE.format(key)
    # Sites added since are missing in the column.
    return np.asarray(adata.obs[column].isin([True]), dtype=bool) if column in adata.obs else None


def check_run_key(adata: AnnData, key: object) -> str:
    """Return the name of a run, which must not overwrite other data."""
    check_type("key_added", key, "a string", str)
    name = str(key)
    if not name or "/" in name:
        msg = f"key_added must be a non-empty string without '/', found {key!r}"
        raise ValueError(msg)
    if name in RESERVED:
        msg = f"key_added={name!r} is taken by {RESERVED[name]} in adata.uns[{_keys.UNS!r}]; choose another"
        raise ValueError(msg)
    if name.endswith(_keys.STD.format("")):
        msg = f"key_added={name!r} is the name of a standard deviation; choose one that does not end in '_std'"
        raise ValueError(msg)
    fields = {"layers": ("{}", _keys.STD), "obs": (_keys.VISIBLE,), "var": (_keys.RELIABILITY, _keys.COVARIATE_GAIN)}
    written = [(place, field.format(name)) for place, keys in fields.items() for field in keys]
    taken = [f"adata.{place}[{field!r}]" for place, field in written if field in getattr(adata, place)]
    # The mark of a run stays in obs where its layer is dropped, as by get.dense.
    mark = adata.obs.get(_keys.VISIBLE.format(name))
    if taken and name not in find_runs(adata) and (mark is None or not pd.api.types.is_bool_dtype(mark)):
        msg = f"key_added={name!r} would overwrite {taken[0]}, which no run of s2s wrote; choose another"
        raise ValueError(msg)
    return name


def check_copy(adata: AnnData, *, copy: bool) -> None:
    """Refuse to copy a section that is backed by a file."""
    if copy and adata.isbacked:
        msg = "copy=True needs a section in memory, found one backed by a file; call adata = adata.to_memory() first"
        raise ValueError(msg)


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of this package and of those named."""
    return {name: version(name) for name in ("s2s-scverse", *packages)}


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

    The folder is named ``<store>.partial`` until the context ends, when the layers become dask arrays.
    """
    shape, names = (n_obs, len(written)), [key, _keys.STD.format(key)][: 1 + std]
    if store is None:
        arrays: list[Any] = [np.empty(shape, dtype) if written.all() else np.full(shape, np.nan, dtype) for _ in names]
        yield Layers(arrays[0], arrays[1] if std else None)
        return
    import dask.array as da
    import zarr
    from filelock import FileLock, Timeout

    partial = _partial(store)
    chunks = min(SITE_CHUNK, n_obs), min(GENE_BLOCK, len(written))
    shards = -(-n_obs // chunks[0]) * chunks[0], chunks[1]  # one file for each block of genes
    made: dict[str, Any] = {"shape": shape, "chunks": chunks, "shards": shards, "dtype": dtype}
    try:
        partial.mkdir(exist_ok=True)
        with FileLock(partial / LOCK, timeout=0):
            for old in partial.iterdir():
                if old.name != LOCK:
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
            group = zarr.create_group(partial, overwrite=False)
            arrays = [group.create_array(name, attributes=ENCODING, fill_value=np.nan, **made) for name in names]
            layers = Layers(arrays[0], arrays[1] if std else None)
            yield layers
    except Timeout:
        msg = f"{partial} is being written by another process; wait for it, or pass another store"
        raise FileExistsError(msg) from None
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


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def write_run(
    adata: AnnData,
    key: str,
    dense: Any,
    visible: NDArray[np.bool_],
    run: dict[str, Any],
    *,
    std: Any = None,
    by_gene: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    copy: bool,
) -> AnnData | None:
    """Write the layers (numpy or dask), columns and entry in uns of a run, in place of those of an earlier one."""
    adata = own(adata, copy=copy)
    obs, var, entry = adata.obs, adata.var, adata.uns[_keys.UNS]
    new = {key: dense, _keys.STD.format(key): std}
    old = {name: adata.layers.get(name) for name in new}
    columns = {name.format(key): by_gene.get(name) for name in (_keys.RELIABILITY, _keys.COVARIATE_GAIN)}
    try:
        # A column of obs remains correct after subsetting, reordering or a later sparsify.
        adata.obs = obs.assign(**{_keys.VISIBLE.format(key): visible})
        adata.var = var.drop(columns=columns, errors="ignore").assign(
            **{name: numbers for name, numbers in columns.items() if numbers is not None}
        )
        adata.uns[_keys.UNS] = {**entry, key: run}
        _set_layers(adata, new)
    except BaseException:  # also upon Ctrl-C
        adata.obs, adata.var, adata.uns[_keys.UNS] = obs, var, entry
        _set_layers(adata, old)
        raise
    return adata if copy else None


def _set_layers(adata: AnnData, layers: dict[str, Any]) -> None:
    """Set layers; remove those that are None."""
    for name, values in layers.items():
        if values is not None:
            adata.layers[name] = values
        elif name in adata.layers:
            del adata.layers[name]


def write_evaluation(adata: AnnData, entry: dict[str, Any], *, copy: bool) -> AnnData | None:
    adata = own(adata, copy=copy)
    adata.uns[_keys.UNS] = {**adata.uns[_keys.UNS], _keys.EVALUATION: entry}
    return adata if copy else None


def write_image_features(
    adata: AnnData, key: str, features: NDArray[np.float32], entry: dict[str, Any], *, copy: bool
) -> AnnData | None:
    """Write image features to obsm, and their description to uns."""
    adata = own(adata, copy=copy)
    runs = adata.uns[_keys.UNS]
    adata.obsm[key] = features
    adata.uns[_keys.UNS] = {**runs, _keys.IMAGE: {**runs.get(_keys.IMAGE, {}), key: entry}}
    return adata if copy else None


def own(adata: AnnData, *, copy: bool, stacklevel: int = 4) -> AnnData:
    """Return a copy, or `adata`, which is made actual if it is a view."""
    if copy:
        return adata.copy()
    if adata.is_view:
        warnings.warn("Received a view of an AnnData. Making a copy.", UserWarning, stacklevel=stacklevel)
        adata.obs = adata.obs  # assignment makes a view actual
    return adata
