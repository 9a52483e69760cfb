"""Writing results whole or not at all."""

import errno
import io
import os
import re
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ._disk import Disk

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["check_file", "check_output", "check_writable", "replacing", "write_section"]

TRIES: Final = 10
"""Of giving a folder its name while others do the same."""


def check_output(path: Path, *, source: Path) -> Path:
    """Refuse a section that cannot be written, before any work is done."""
    if path.suffix not in (".h5ad", ".zarr"):
        msg = f"--output must end in .h5ad or .zarr, found {path}"
        raise ValueError(msg)
    if path.suffix == ".h5ad":
        return check_file(path, source=source)
    _check_place(path, source)
    if path.is_dir() and not _holds_anndata(path):
        msg = f"{path} is a folder, and no AnnData that could be replaced"
        raise IsADirectoryError(msg)
    if path.is_file():
        msg = f"{path} is a file, and no folder that could be replaced"
        raise FileExistsError(msg)
    return path


def check_file(path: Path, *, source: Path) -> Path:
    """Refuse a file that cannot be written, before any work is done."""
    _check_place(path, source)
    if path.is_dir():
        msg = f"{path} is a folder, a file of this name is to be written; choose another"
        raise IsADirectoryError(msg)
    return path


def _check_place(path: Path, source: Path) -> None:
    from .._checks import check_folder

    if path.exists() and source.exists() and path.samefile(source):
        msg = f"--output is the input, {path}, which would be replaced; choose another name"
        raise ValueError(msg)
    check_folder(path.parent, "--output")


def check_writable(adata: "AnnData", path: Path) -> None:
    """Refuse a section with an element that cannot be written, before any work is done; only memory is written to.

    Raises
    ------
    ValueError
        Naming the element.
    """
    import anndata
    import h5py
    import zarr
    from pandas import DataFrame

    from .._checks import named_layers

    adata.strings_to_categoricals()
    mappings: dict[str, Any] = {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "obsp", "varp")}
    mappings["layers"] = named_layers(adata)
    mappings["raw"] = {} if adata.raw is None else {"X": adata.raw.X, "var": adata.raw.var}
    for parts in mappings.values():
        # Of arrays a row tells as much as all of them; tables hold objects, one of which may be wrong.
        parts.update({key: part if isinstance(part, DataFrame) else part[:1] for key, part in parts.items()})
    elements = {"obs": adata.obs, "var": adata.var, "uns": dict(adata.uns), **mappings}
    try:
        with _formats(), h5py.File(io.BytesIO(), "w") as memory:
            anndata.io.write_elem(memory if path.suffix == ".h5ad" else zarr.create_group({}), "/", elements)
    except Exception as error:
        # The first note is of the innermost element.
        note = re.search("key '(.*)' of .* to /(.*)", next(iter(getattr(error, "__notes__", [])), ""))
        msg = (
            f"{f'{note[2]}/{note[1]}'.strip('/') if note else 'the section'} cannot be written to {path}: {error}; "
            "rename, convert or drop it in the input (a column, for example: adata.obs[name].astype(str))"
        )
        raise ValueError(msg) from error


@contextmanager
def _formats() -> Iterator[None]:
    """Write the strings of pandas 3, and leave out warnings of formats that will be the default in other versions."""
    import anndata

    with warnings.catch_warnings(), anndata.settings.override(allow_write_nullable_strings=True):
        warnings.filterwarnings("ignore", message=".*zarr v[23].*|Forward slashes will be disallowed")
        yield


def write_section(adata: "AnnData", path: Path) -> None:
    """Write an h5ad file or a zarr store; it is whole whenever it has its name."""
    with replacing(path) as temporary, _formats():
        try:
            if path.suffix == ".h5ad":
                _write_h5ad(adata, temporary)
            else:
                adata.write_zarr(temporary)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            msg = f"{path} could not be written: {reason}"
            raise OSError(error.errno, msg) from error


def _write_h5ad(adata: "AnnData", path: Path) -> None:
    """Write as :meth:`anndata.AnnData.write_h5ad` does, so that a full disk is an error and nothing worse."""
    import h5py
    from anndata.experimental import write_dispatched

    adata.strings_to_categoricals()

    def write(function: Any, group: Any, name: str, value: Any, *, dataset_kwargs: Any, iospec: Any) -> None:  # noqa: ARG001
        disk.check()
        function(group, name, value, dataset_kwargs=dataset_kwargs)

    with Disk(path) as disk, h5py.File(disk, "w") as file:
        write_dispatched(file, "/", adata, write, dataset_kwargs={"compression": "gzip"})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name that takes the place of `path` on success and vanishes otherwise.

    A folder takes the place of a folder only: the old one is put aside, and back if anything fails.
    """
    path = path.resolve()
    token = secrets.token_hex(4)
    temporary, old = (path.with_name(f".{path.stem}.{token}{kind}{path.suffix}") for kind in ("", ".old"))
    try:
        yield temporary
        if temporary.is_dir():
            _take_place(temporary, path, old)
        else:
            temporary.replace(path)
    except BaseException:
        if old.exists() and not path.exists():
            with suppress(OSError):  # others may be quicker
                old.rename(path)
        raise
    finally:
        for each in (temporary, old):
            _remove(each)


def _remove(path: Path) -> None:
    """Remove a file or a folder; zarr may still be writing into that when one of its threads has failed."""
    for _ in range(TRIES):
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.05 * path.exists())


def _take_place(folder: Path, path: Path, old: Path) -> None:
    """Rename a folder; others may be doing the same, and the last one wins."""
    for _ in range(TRIES):
        if path.is_dir():
            if old.exists():
                shutil.rmtree(old)
            with suppress(FileNotFoundError):
                path.rename(old)
        try:
            folder.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    msg = f"{path} is being replaced by others all the time; choose another name"
    raise FileExistsError(msg)


def _holds_anndata(path: Path) -> bool:
    import zarr

    try:
        return zarr.open_group(path, mode="r").attrs.get("encoding-type") == "anndata"
    except (FileNotFoundError, ValueError):
        return False
