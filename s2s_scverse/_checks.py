"""Validators of user input, with the error texts that functions share."""

import os
import re
from collections.abc import Hashable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from anndata import AnnData

COORDINATES = (
    *(("x", "y"), ("x_centroid", "y_centroid"), ("center_x", "center_y"), ("xcoord", "ycoord")),
    *(("CenterX_global_px", "CenterY_global_px"), ("pxl_col_in_fullres", "pxl_row_in_fullres")),
)
"""Columns of x and y in the tables of platforms."""


def few(names: Iterable[object], n: int = 5) -> str:
    """Return the first few names as text."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:n]) + (f", ... ({len(texts)} in all)" if len(texts) > n else "")


def named_layers(adata: "AnnData") -> dict[str, Any]:
    """Return the layers without X, which is ``layers[None]`` in anndata 0.13."""
    return {name: values for name, values in adata.layers.items() if name is not None}


def check_adata(adata: Any) -> None:
    """Check for a non-empty AnnData; load obs and var if they are lazy."""
    if not all(hasattr(adata, name) for name in ("obs", "var", "obsm", "layers", "uns", "X")):
        msg = f"expected an AnnData, found {type(adata).__name__}"
        raise TypeError(msg)
    if 0 in adata.shape:
        msg = f"expected at least one spot and one gene, found an AnnData of shape {adata.shape}"
        raise ValueError(msg)
    for name in ("obs", "var"):
        if not isinstance(getattr(adata, name), pd.DataFrame):
            setattr(adata, name, read_table(getattr(adata, name)))


def read_table(table: Any) -> pd.DataFrame:
    """Return a table in memory."""
    return table if isinstance(table, pd.DataFrame) else table.to_memory()


def check_unique_genes(adata: "AnnData") -> None:
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        msg = f"gene names are not unique ({few(repeated)}); call adata.var_names_make_unique() first"
        raise ValueError(msg)


def check_type(name: str, value: object, expected: str, *types: type) -> None:
    """Check the type of a value; booleans are not integers."""
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        msg = f"{name} must be {expected}, found {value!r} ({type(value).__name__})"
        raise TypeError(msg)


def check_int(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Return an integer within bounds."""
    check_type(name, value, "an integer", int, np.integer)
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        msg = f"{name} must be {bounds}, found {value}"
        raise ValueError(msg)
    return int(value)


def check_number(name: str, value: Any, *, least: float, most: float | None = None) -> float:
    """Return a finite number within bounds as a float."""
    check_type(name, value, "a number", float, int, np.floating, np.integer)
    if not np.isfinite(value) or value < least or (most is not None and value > most):
        bounds = f"at least {least} and finite" if most is None else f"from {least} to {most}"
        msg = f"{name} must be {bounds}, found {value}"
        raise ValueError(msg)
    return float(value)


def check_positive(name: str, value: Any, *, below: float = np.inf) -> float:
    """Return a number strictly between 0 and a bound as a float."""
    check_type(name, value, "a number", float, int, np.floating, np.integer)
    if not 0 < value < below:
        bounds = "be positive and finite" if below == np.inf else f"lie between 0 and {below}"
        msg = f"{name} must {bounds}, found {value}"
        raise ValueError(msg)
    return float(value)


def check_bool(name: str, value: object) -> None:
    check_type(name, value, "True or False", bool)


def check_fields(config: Any, **bounds: tuple[float, float | None]) -> None:
    """Check the fields of a frozen dataclass by type and bounds; numbers of numpy become those of Python.

    Without bounds, integers must be at least 1 and floats positive.
    """
    for key, kind in get_type_hints(type(config)).items():
        name, value = f"{type(config).__name__}: {key}", getattr(config, key)
        least, most = bounds.get(key, (1, None))
        if get_origin(kind) is Literal:
            check_choice(name, value, get_args(kind))
        elif kind is bool:
            check_bool(name, value)
        elif kind is int:
            object.__setattr__(config, key, check_int(name, value, least=int(least)))
        elif kind is float and key in bounds:
            object.__setattr__(config, key, check_number(name, value, least=least, most=most))
        elif kind is float or (kind == float | None and value is not None):
            object.__setattr__(config, key, check_positive(name, value))


def did_you_mean(names: Iterable[str], known: Iterable[str]) -> str:
    """Return the end of an error text that suggests a known name for each that is like one, whatever its case."""
    by_lower = {name.lower(): name for name in known}
    likely = [match for name in names for match in get_close_matches(name.lower(), by_lower, 1, cutoff=0.75)]
    return f"; did you mean {', '.join(by_lower[match] for match in likely[:5])}?" if likely else ""


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        msg = f"{name} must be one of {', '.join(map(repr, choices))}, found {value!r}"
        raise ValueError(msg + (did_you_mean([value], choices) if isinstance(value, str) else ""))


def check_name(name: str, value: object) -> None:
    check_type(name, value, "a name", str)


def check_path(name: str, value: Any) -> Path:
    check_type(name, value, "a path", str, os.PathLike)
    return Path(value)


def check_folder(folder: Path, of: str) -> None:
    """Check that a folder exists and can be written to."""
    if not folder.is_dir():
        msg = f"the folder {folder} of {of} does not exist; make it first, or choose another path"
        raise FileNotFoundError(msg)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"cannot write {of}: permission denied in {folder}; choose another path"
        raise PermissionError(msg)


def check_rng(rng: Any) -> np.random.Generator:
    """Return a generator for anything that :func:`numpy.random.default_rng` takes, except booleans."""
    if isinstance(rng, int | np.integer) and rng < 0:
        msg = f"rng must be a seed of at least 0, found {rng}"
        raise ValueError(msg)
    seed: Any = "no seed" if isinstance(rng, bool) else rng
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        msg = f"rng must be an integer seed, a numpy Generator or None, found {rng!r} ({type(rng).__name__})"
        raise TypeError(msg) from None


def check_layer(adata: "AnnData", layer: str | None) -> None:
    check_type("layer", layer, "a name or None", str, NoneType)
    if layer is not None and layer not in adata.layers:
        msg = f"layer {layer!r} not found in adata.layers, which has: {few(named_layers(adata)) or 'none'}"
        raise KeyError(msg + did_you_mean([layer], named_layers(adata)))


def check_genes(adata: "AnnData", genes: str | Sequence[str] | None) -> NDArray[np.int64]:
    """Return the columns of genes, (n_genes,), in the order of their names; None selects all."""
    check_unique_genes(adata)
    if genes is None:
        return np.arange(adata.n_vars)
    if isinstance(genes, bytes) or not isinstance(genes, Iterable):
        msg = f"genes must be a name or a list of names, found {genes!r} ({type(genes).__name__})"
        raise TypeError(msg)
    given = [genes] if isinstance(genes, str) else list(genes)
    wrong = [name for name in given if isinstance(name, bool | np.bool_) or not isinstance(name, Hashable)]
    if wrong:
        what = f"{wrong[0]!r} ({type(wrong[0]).__name__})"
        msg = f"genes must be names, found {what} among them; for a mask pass adata.var_names[mask]"
        raise TypeError(msg)
    names = pd.Index(given)
    if not len(names):
        msg = "expected at least one gene, found an empty list; pass genes=None for all"
        raise ValueError(msg)
    if not names.is_unique:
        msg = f"genes are named more than once: {few(names[names.duplicated()].unique())}; name each once"
        raise ValueError(msg)
    columns = adata.var_names.get_indexer(names)
    missing = names[columns < 0]
    if len(missing):
        msg = f"genes not found in adata.var_names: {few(missing)}; names there look like {few(adata.var_names, 3)}"
        if elsewhere := [key for key in adata.var if missing.isin(adata.var[key]).any()]:
            msg += f"; adata.var[{elsewhere[0]!r}] contains some of them: pass the corresponding adata.var_names"
        raise KeyError(msg + did_you_mean(missing.astype(str), adata.var_names.astype(str)))
    return np.asarray(columns, dtype=np.int64)


def check_column(adata: "AnnData", key: str) -> NDArray[np.bool_]:
    """Return a boolean obs column."""
    column = adata.obs[key]
    if column.isna().any() or not set(column.unique()) <= {True, False}:
        msg = f"adata.obs[{key!r}] must hold True or False for every site, found {few(column.unique())}"
        raise ValueError(msg)
    return np.asarray(column, dtype=bool)


def check_points(points: Any, key: str) -> "tuple[NDArray[np.float64], pd.Index | None]":
    """Return x and y of points, (n, 2), and their names if they are the cells of an AnnData."""
    if hasattr(points, "obsm"):
        return check_coordinates(points, key), points.obs_names
    try:
        found = np.asarray(points)
    except ValueError:  # rows of different lengths
        found = np.asarray(points, dtype=object)
    if found.dtype.kind not in "fiu":
        msg = f"points must be an AnnData or numbers of shape (n, 2), found {type(points).__name__} of {found.dtype}"
        raise TypeError(msg)
    paired = found.shape[1:] == (2,)
    if not paired or not np.isfinite(found).all():
        what = "values that are NaN or infinite" if paired else f"shape {found.shape}"
        msg = f"points must be finite numbers of shape (n, 2): x and y; found {what}"
        raise ValueError(msg)
    return found.astype(np.float64), None


def check_coordinates(adata: "AnnData", key: str) -> NDArray[np.float64]:
    """Return x and y of every site, (n_obs, 2)."""
    check_name("spatial_key", key)
    if key not in adata.obsm:
        known = few(adata.obsm) or "nothing"
        msg = f"coordinates not found: adata.obsm has no {key!r}, it has: {known}; pass spatial_key="
        raise KeyError(msg + _coordinates_elsewhere(adata, key))
    found = np.asarray(adata.obsm[key])
    if found.dtype.kind not in "fiu":
        msg = f"adata.obsm[{key!r}] must hold numbers, found dtype {found.dtype} ({type(adata.obsm[key]).__name__})"
        raise TypeError(msg)
    if found.ndim != 2 or found.shape[1] != 2:
        msg = f"adata.obsm[{key!r}] must have 2 columns (x, y), found shape {found.shape}; pass another spatial_key"
        raise ValueError(msg)
    if unknown := int((~np.isfinite(found)).any(axis=1).sum()):
        msg = f"adata.obsm[{key!r}] is NaN or infinite for {unknown} of {len(found)} spots; drop them first"
        raise ValueError(msg)
    return found.astype(np.float64)


def _coordinates_elsewhere(adata: "AnnData", key: str) -> str:
    """Return the end of an error text on coordinates that may be in obs, or in the names of spots."""
    if pair := next((pair for pair in COORDINATES if set(pair) <= set(adata.obs)), None):
        return f", or set adata.obsm[{key!r}] = adata.obs[{list(pair)}].to_numpy()"
    if re.fullmatch(r"\d+(\.\d+)?x\d+(\.\d+)?", str(adata.obs_names[0])):
        return f", or set adata.obsm[{key!r}] to the two numbers in the names of spots (such as {adata.obs_names[0]})"
    return ""


def is_sparse(matrix: Any) -> bool:
    """Whether a matrix is a scipy sparse matrix or array."""
    return bool(sparse.issparse(matrix))


def as_dense(block: Any) -> NDArray[np.float32]:
    """Return a lazy, sparse or dense matrix as a dense float32 array."""
    block = in_memory(block)
    return np.ascontiguousarray(block.toarray() if is_sparse(block) else block, dtype=np.float32)


def in_memory(block: Any) -> Any:
    """Return a lazy, sparse or dense matrix as a sparse matrix or a numpy array."""
    block = block.compute() if hasattr(block, "compute") else block
    return block if is_sparse(block) else np.asarray(block)


def stored_values(matrix: Any) -> NDArray[Any]:
    """Return the stored values of a sparse matrix in memory, or a dense array."""
    return matrix.data if is_sparse(matrix) else np.asarray(matrix)


def are_counts(matrix: Any) -> bool:
    """Whether all values of a matrix in memory are non-negative whole numbers."""
    stored = stored_values(matrix)
    return bool(np.all(stored >= 0) and np.all(stored == np.round(stored)))


def check_numeric(matrix: Any, what: str) -> None:
    """Check that a matrix holds real numbers."""
    dtype = np.dtype(matrix.dtype)
    if dtype.kind not in "fiu":
        msg = f"{what} must hold real numbers, found dtype {dtype}; if it does, convert it: {what}.astype('float32')"
        raise TypeError(msg)


def check_finite(matrix: Any, what: str) -> None:
    """Check that a matrix in memory holds finite real numbers."""
    check_numeric(matrix, what)
    if bad := int((~np.isfinite(stored_values(matrix))).sum()):
        msg = f"{what} has {bad} values that are NaN or infinite; set those, or drop their spots or genes"
        raise ValueError(msg)
