"""A public Xenium section: downloaded once, checked, cached."""

import errno
import logging
import shutil
import zipfile
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

from .._checks import check_path
from .._keys import SPATIAL

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["xenium_mouse_brain"]

log = logging.getLogger(__name__)

NAME: Final = "Xenium_V1_FF_Mouse_Brain_Coronal_Subset_CTX_HP"
URL: Final = f"https://cf.10xgenomics.com/samples/xenium/1.0.2/{NAME}/{NAME}_outs.zip"
# Members of the archive that are read, and their SHA-256.
FILES: Final = {
    "cell_feature_matrix.h5": "c46affded533ee3802a8136ab61b51868831a9cd07226121f5426c81bccde12d",
    "cells.csv.gz": "9fbeb446c201e12802808ae58d027daaeb7b90051a09c3d4c74bcf46aec253f2",
}

LARGEST: Final = 2**30
"""Bytes; the files have less."""


def xenium_mouse_brain(*, cache_dir: str | PathLike[str] | None = None, progress: bool = True) -> "AnnData":
    """Load cells of a mouse brain section (cortex and hippocampus) by 10x Xenium, downloading it on first use.

    The public data set ``Xenium_V1_FF_Mouse_Brain_Coronal_Subset_CTX_HP`` of 10x Genomics (Xenium Onboard Analysis
    1.0.2, CC BY 4.0). The two files that are needed are taken out of its archive, checked by their SHA-256 and kept;
    the archive, of some gigabytes, is deleted.

    Parameters
    ----------
    cache_dir
        Folder of the files; by default ``xenium_mouse_brain`` in ``$S2S_CACHE_DIR``, or else in the cache folder that
        the operating system has for ``s2s_scverse``.
    progress
        Whether to show a progress bar while downloading.

    Returns
    -------
    36,602 cells by 248 genes: raw counts (CSR, float32), and in ``obsm["spatial"]`` x and y of the cells' centres in
    micrometres. ``obs`` holds the columns of ``cells.csv.gz``, ``var`` the genes' identifiers.

    Raises
    ------
    ConnectionError
        If the files are not in the cache and cannot be downloaded. The text says what to put where.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> cells = s2s.datasets.xenium_mouse_brain()  # doctest: +SKIP
    >>> dense = s2s.pp.grid(cells, bin_size=50)  # doctest: +SKIP
    """
    folder = _cache_folder() if cache_dir is None else check_path("cache_dir", cache_dir)
    if not all(_is_whole(folder / name) for name in FILES):
        _download(folder, progress=progress)
    return _read(folder)


def _cache_folder() -> Path:
    import os

    import pooch

    return Path(os.environ.get("S2S_CACHE_DIR") or pooch.os_cache("s2s_scverse")) / "xenium_mouse_brain"


def _is_whole(path: Path) -> bool:
    import pooch

    return path.is_file() and pooch.file_hash(str(path)) == FILES[path.name]


def _download(folder: Path, *, progress: bool) -> None:
    """Fetch the archive, and keep the members that are needed."""
    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s to %s", URL, folder)
    # A folder of its own: other processes may be doing the same.
    with TemporaryDirectory(prefix=".download-", dir=folder) as work:
        try:
            downloader = pooch.HTTPDownloader(progressbar=progress, timeout=60)
            archive = pooch.retrieve(URL, known_hash=None, fname="outs.zip", path=work, downloader=downloader)
        except (requests.RequestException, OSError) as error:
            if _is_full(error):
                raise
            wanted = " and ".join(f"{name} (SHA-256 {digest})" for name, digest in FILES.items())
            msg = (
                f"could not download {URL} ({type(error).__name__}); where there is a connection, take {wanted} out of "
                f"that archive and put them into {folder}"
            )
            raise ConnectionError(msg) from error
        for name in FILES:
            _extract(Path(archive), name, folder)


def _is_full(error: Exception) -> bool:
    """Whether there is no room left on the disk, which the system says best."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _extract(archive: Path, name: str, folder: Path) -> None:
    """Write one member, by its own name only, and only if it is the published one."""
    import pooch

    part = archive.with_name(f"{name}.part")
    try:
        try:
            with zipfile.ZipFile(archive) as members, members.open(name) as source, part.open("wb") as target:
                shutil.copyfileobj(_Limited(source), target)
        except Exception as error:  # zipfile raises what it likes for archives that are damaged
            if _is_full(error):
                raise
            msg = f"{URL} is not the archive expected ({error!r}): it holds no readable {name}"
            raise ValueError(msg) from error
        found = pooch.file_hash(str(part))
        if found != FILES[name]:
            msg = f"{name} of {URL} is not the published file: SHA-256 {found}, expected {FILES[name]}"
            raise ValueError(msg)
        part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)


class _Limited:
    """A file that is not longer than any of those expected: a small archive may unpack to what no disk can hold."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, LARGEST

    def read(self, size: int = -1, /) -> bytes:
        """Read some of it."""
        found = self._file.read(size)
        self._left -= len(found)
        if self._left < 0:
            msg = f"more than {LARGEST} bytes"
            raise ValueError(msg)
        return found


def _read(folder: Path) -> "AnnData":
    import pandas as pd
    import scanpy as sc

    adata = sc.read_10x_h5(folder / "cell_feature_matrix.h5")  # leaves out control probes
    cells = pd.read_csv(folder / "cells.csv.gz", index_col="cell_id")
    cells.index = cells.index.astype(str)
    adata.obs = cells.loc[adata.obs_names]
    adata.obsm[SPATIAL] = adata.obs[["x_centroid", "y_centroid"]].to_numpy()
    return adata
