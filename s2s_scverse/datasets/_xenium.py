"""Public Xenium section of 10x Genomics."""

import logging
import os
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd
from anndata import AnnData

from .._checks import check_path
from .._keys import SPATIAL

__all__ = ["xenium_mouse_brain"]

log = logging.getLogger(__name__)

NAME: Final = "Xenium_V1_FF_Mouse_Brain_Coronal_Subset_CTX_HP"
URL: Final = f"https://cf.10xgenomics.com/samples/xenium/1.0.2/{NAME}/{NAME}_outs.zip"
# Members of the archive that are read, and their SHA-256.
FILES: Final = {
    "cell_feature_matrix.h5": "c46affded533ee3802a8136ab61b51868831a9cd07226121f5426c81bccde12d",
    "cells.csv.gz": "9fbeb446c201e12802808ae58d027daaeb7b90051a09c3d4c74bcf46aec253f2",
}


def xenium_mouse_brain(*, cache_dir: str | PathLike[str] | None = None, progress: bool = True) -> AnnData:
    """Load cells of a mouse brain section (cortex and hippocampus) by 10x Xenium, downloading it on first use.

    The public data set ``Xenium_V1_FF_Mouse_Brain_Coronal_Subset_CTX_HP`` of 10x Genomics (Xenium Onboard Analysis
    1.0.2, CC BY 4.0). Two files are extracted from an archive of some gigabytes, checked by their SHA-256 and cached.

    Parameters
    ----------
    cache_dir
        Folder of the files; by default ``xenium_mouse_brain`` in ``$S2S_CACHE_DIR``, else in the user's cache folder.
    progress
        Whether to show a progress bar while downloading.

    Returns
    -------
    36,602 cells by 248 genes: raw counts (CSR, float32), and in ``obsm["spatial"]`` x and y of the cells' centres in
    micrometres. ``obs`` holds the columns of ``cells.csv.gz``, ``var`` the genes' identifiers.

    Raises
    ------
    ConnectionError
        If the files are not in the cache and cannot be downloaded. The text states which files to put where.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> cells = s2s.datasets.xenium_mouse_brain()  # doctest: +SKIP
    >>> dense = s2s.pp.grid(cells, bin_size=50)  # doctest: +SKIP
    """
    import pooch
    import scanpy as sc

    cache = Path(os.environ.get("S2S_CACHE_DIR") or pooch.os_cache("s2s_scverse")) / "xenium_mouse_brain"
    folder = cache if cache_dir is None else check_path("cache_dir", cache_dir)
    if not all((folder / name).is_file() and pooch.file_hash(str(folder / name)) == FILES[name] for name in FILES):
        _download(folder, progress=progress)
    adata = sc.read_10x_h5(folder / "cell_feature_matrix.h5")  # leaves out control probes
    cells = pd.read_csv(folder / "cells.csv.gz", index_col="cell_id")
    cells.index = cells.index.astype(str)
    adata.obs = cells.loc[adata.obs_names]
    adata.obsm[SPATIAL] = adata.obs[["x_centroid", "y_centroid"]].to_numpy()
    return adata


def _download(folder: Path, *, progress: bool) -> None:
    """Download the archive, and keep the required members if they are the published ones."""
    import zipfile

    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s to %s", URL, folder)
    # A separate folder, since other processes may download at the same time.
    with TemporaryDirectory(prefix=".download-", dir=folder) as work:
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=60)
        try:
            archive = pooch.retrieve(URL, known_hash=None, fname="outs.zip", path=work, downloader=downloader)
            with zipfile.ZipFile(archive) as members:
                paths = [Path(members.extract(name, work)) for name in FILES]
        except requests.RequestException as error:
            wanted = " and ".join(f"{name} (SHA-256 {digest})" for name, digest in FILES.items())
            msg = (
                f"could not download {URL} ({type(error).__name__}); without a connection, extract {wanted} from that "
                f"archive into {folder}"
            )
            raise ConnectionError(msg) from error
        except (zipfile.BadZipFile, KeyError) as error:
            msg = f"{URL} is not the archive expected ({error}): it holds no readable {' and '.join(FILES)}"
            raise ValueError(msg) from error
        for path in paths:
            found = pooch.file_hash(str(path))
            if found != FILES[path.name]:
                msg = f"{path.name} of {URL} is not the published file: SHA-256 {found}, expected {FILES[path.name]}"
                raise ValueError(msg)
        for path in paths:
            path.replace(folder / path.name)
