"""Write files atomically."""

import io
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["check_output", "check_writable", "replacing", "write_section"]


def check_output(path: Path, *, source: Path | None = None, section: bool = False, option: str = "--output") -> Path:
    """Return the path of a file or, with `section`, of an AnnData; refuse the input and what cannot be written."""
    from .._checks import check_folder

    if section and path.suffix not in (".h5ad", ".zarr"):
        msg = f"{option} must end in .h5ad or .zarr, found {path}"
        raise ValueError(msg)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        msg = f"{option} is the input, {path}, which would be replaced; choose another name"
        raise ValueError(msg)
    check_folder(path.parent, option)
    if path.is_dir() and not (section and path.suffix == ".zarr" and _holds_anndata(path)):
        msg = f"{path} is a folder and would be replaced; choose another name"
        raise IsADirectoryError(msg)
    if path.is_file() and section and path.suffix == ".zarr":
        msg = f"{path} is a file, where a folder is to be written; choose another name"
        raise FileExistsError(msg)
    return path


def check_writable(adata: "AnnData", path: Path) -> None:
    """Refuse a section with an element that cannot be written, by writing it (one row of its matrices) to memory."""
    import anndata
    import h5py
    import zarr

    from .._checks import named_layers

    adata.strings_to_categoricals()
    row = adata[:1]
    matrices = {"layers": named_layers(row), "obsp": dict(row.obsp), "varp": dict(adata.varp)}
    if adata.raw is not None:
        matrices["raw"] = {"var": adata.raw.var, "varm": dict(adata.raw.varm)}
    tables = {"obs": adata.obs, "var": adata.var, "obsm": dict(adata.obsm), "varm": dict(adata.varm)}
    try:
        with _formats(), h5py.File(io.BytesIO(), "w") as file:
            group = file if path.suffix == ".h5ad" else zarr.create_group({})
            anndata.io.write_elem(group, "/", {**matrices, **tables, "uns": dict(adata.uns)})
    except Exception as error:
        where = next(iter(getattr(error, "__notes__", [])), "")  # the first note is of the innermost element
        msg = (
            f"the section cannot be written to {path}: {error} ({where}); "
            "rename, convert or drop that element of the input (a column, for example: adata.obs[name].astype(str))"
        )
        raise ValueError(msg) from error


def write_section(adata: "AnnData", path: Path) -> None:
    """Write an h5ad file or a zarr store, which appears under its name when it is complete."""
    with replacing(path) as temporary, _formats():
        try:
            if path.suffix == ".h5ad":
                adata.write_h5ad(temporary, compression="gzip")
            else:
                adata.write_zarr(temporary)
        except OSError as error:
            msg = f"{path} could not be written: {error.strerror or error}"
            raise OSError(error.errno, msg) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder; what is written there replaces `path` on success and is deleted otherwise.

    A folder replaces an earlier folder, a file an earlier file.
    """
    path = path.resolve()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", ignore_cleanup_errors=True) as folder:
        new, old = Path(folder) / path.name, Path(folder) / "earlier"
        yield new
        if new.is_dir() and path.is_dir():
            path.rename(old)
        try:
            new.replace(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise


@contextmanager
def _formats() -> Iterator[None]:
    """Write the strings of pandas 3; silence warnings of formats that other versions will write by default."""
    import anndata

    with warnings.catch_warnings(), anndata.settings.override(allow_write_nullable_strings=True):
        warnings.filterwarnings("ignore", message=".*zarr v[23].*|Forward slashes will be disallowed")
        yield


def _holds_anndata(path: Path) -> bool:
    import zarr

    try:
        group: Any = zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError):
        return False
    return bool(group.attrs.get("encoding-type") == "anndata")
