"""Public sections of 10x Genomics: downloaded on first use, checked by their SHA-256, and cached."""

import logging
import os
import tarfile
import zipfile
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd
from anndata import AnnData

from .._checks import check_path
from .._keys import SPATIAL

log = logging.getLogger(__name__)

URL: Final = "https://cf.10xgenomics.com/samples/spatial-exp/1.1.0/{0}/{0}_{1}"
FILES: Final = ("filtered_feature_bc_matrix.h5", "spatial.tar.gz")
MEMBERS: Final = (
    "tissue_positions_list.csv",
    "scalefactors_json.json",
    "tissue_hires_image.png",
    "tissue_lowres_image.png",
)
SHA256: Final = {  # of FILES, as in squidpy's registry
    "V1_Adult_Mouse_Brain": (
        "eb78379e02dcf48036abf05b67233e73ecb0d880787feb82f76ff16f6ce01eb3",
        "46d6b05ba740f232d6bf4b27b9a8846815851e000985fb878f1364bab04e5bd4",
    ),
    "V1_Human_Lymph_Node": (
        "86fd533eb907450e7125b9820183a0ca73776eeafcc5eddae5695b6aabfd9139",
        "812808883366ff9623dc8354847a7211b0d922b2bfc4c9359d6e12e993ea6a73",
    ),
    "V1_Breast_Cancer_Block_A_Section_1": (
        "b3cbb6ead60afad848ebcc07a34835613d9d2d79e416ad8300b210d9de584b65",
        "415530a9d31172f63fd358d5d1cefb0798698ef9c0e614f52825894cd45c61bf",
    ),
}
XENIUM: Final = "Xenium_V1_FF_Mouse_Brain_Coronal_Subset_CTX_HP"
XENIUM_URL: Final = f"https://cf.10xgenomics.com/samples/xenium/1.0.2/{XENIUM}/{XENIUM}_outs.zip"
XENIUM_FILES: Final = {  # members of the archive that are read, and their SHA-256
    "cell_feature_matrix.h5": "c46affded533ee3802a8136ab61b51868831a9cd07226121f5426c81bccde12d",
    "cells.csv.gz": "9fbeb446c201e12802808ae58d027daaeb7b90051a09c3d4c74bcf46aec253f2",
}


def visium_mouse_brain(*, cache_dir: str | PathLike[str] | None = None, progress: bool = True) -> AnnData:
    """Load a coronal mouse brain section by 10x Visium with its H&E image, downloading it on first use.

    The public data set ``V1_Adult_Mouse_Brain`` of 10x Genomics (fresh frozen, Space Ranger 1.1.0, CC BY 4.0) has about
    2,700 spots. Two files are downloaded, checked by their SHA-256 and cached.

    Parameters
    ----------
    cache_dir
        Folder of the files; by default ``visium`` in ``$S2S_CACHE_DIR``, else in the user's cache folder.
    progress
        Whether to show a progress bar while downloading.

    Returns
    -------
    Spots by genes, as read by ``squidpy.read.visium``: raw counts (CSR, float32) in X, positions in ``obsm`` and
    the array columns of ``obs``, image and scale factors in ``uns["spatial"]``. Gene names are made unique.

    Raises
    ------
    ConnectionError
        If a file is not in the cache and cannot be downloaded. The text states which file to put where.
    ValueError
        If a file is not the published one.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.visium_mouse_brain()  # doctest: +SKIP
    >>> dense = s2s.pp.grid(adata)  # doctest: +SKIP
    """
    return _load("V1_Adult_Mouse_Brain", cache_dir, progress=progress)


def visium_human_lymph_node(*, cache_dir: str | PathLike[str] | None = None, progress: bool = True) -> AnnData:
    """Load a human lymph node section by 10x Visium with its H&E image, downloading it on first use.

    The public data set ``V1_Human_Lymph_Node`` of 10x Genomics (fresh frozen, Space Ranger 1.1.0, CC BY 4.0) has about
    4,000 spots.

    Parameters
    ----------
    cache_dir, progress
        As for :func:`s2s_scverse.datasets.visium_mouse_brain`, whose result and errors apply.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.visium_human_lymph_node()  # doctest: +SKIP
    """
    return _load("V1_Human_Lymph_Node", cache_dir, progress=progress)


def visium_breast_cancer(*, cache_dir: str | PathLike[str] | None = None, progress: bool = True) -> AnnData:
    """Load a human breast cancer section by 10x Visium with its H&E image, downloading it on first use.

    The public data set ``V1_Breast_Cancer_Block_A_Section_1`` of 10x Genomics (fresh frozen, Space Ranger 1.1.0,
    CC BY 4.0) has about 3,800 spots.

    Parameters
    ----------
    cache_dir, progress
        As for :func:`s2s_scverse.datasets.visium_mouse_brain`, whose result and errors apply.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.visium_breast_cancer()  # doctest: +SKIP
    """
    return _load("V1_Breast_Cancer_Block_A_Section_1", cache_dir, progress=progress)


def _load(sample: str, cache_dir: str | PathLike[str] | None, *, progress: bool) -> AnnData:
    """Download the files of a Visium sample unless they are cached, and read them."""
    from .._cli._files import read_10x

    folder = _cache(cache_dir, "visium")
    paths = []
    for file, digest in zip(FILES, SHA256[sample], strict=True):
        advice = f"put that file (SHA-256 {digest}) into {folder}"
        url = URL.format(sample, file)
        paths.append(_retrieve(url, f"sha256:{digest}", f"{sample}_{file}", folder, advice, progress=progress))
    matrix, archive = paths
    with TemporaryDirectory() as unpacked, tarfile.open(archive) as files:
        for member in MEMBERS:
            files.extract(f"spatial/{member}", unpacked, filter="data")
        adata = read_10x(matrix, Path(unpacked) / "spatial")
    adata.obsm[SPATIAL] = adata.obsm[SPATIAL].astype(int)  # pixels
    adata.uns["spatial"] = {sample: next(iter(adata.uns["spatial"].values()))}
    return adata


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

    folder = _cache(cache_dir, "xenium_mouse_brain")
    paths = [folder / name for name in XENIUM_FILES]
    if not all(path.is_file() and pooch.file_hash(str(path)) == XENIUM_FILES[path.name] for path in paths):
        _download_xenium(folder, progress=progress)
    adata = sc.read_10x_h5(paths[0])  # leaves out control probes
    cells = pd.read_csv(paths[1], index_col="cell_id")
    cells.index = cells.index.astype(str)
    adata.obs = cells.loc[adata.obs_names]
    adata.obsm[SPATIAL] = adata.obs[["x_centroid", "y_centroid"]].to_numpy()
    return adata


def _download_xenium(folder: Path, *, progress: bool) -> None:
    """Download the archive, and keep the required members if they are the published ones."""
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s to %s", XENIUM_URL, folder)
    wanted = " and ".join(f"{name} (SHA-256 {digest})" for name, digest in XENIUM_FILES.items())
    advice = f"extract {wanted} from that archive into {folder}"
    # A separate folder, since other processes may download at the same time.
    with TemporaryDirectory(prefix=".download-", dir=folder) as work:
        archive = _retrieve(XENIUM_URL, None, "outs.zip", Path(work), advice, progress=progress)
        try:
            with zipfile.ZipFile(archive) as members:
                paths = [Path(members.extract(name, work)) for name in XENIUM_FILES]
        except (zipfile.BadZipFile, KeyError) as error:
            names = " and ".join(XENIUM_FILES)
            msg = f"{XENIUM_URL} is not the archive expected ({error}): it holds no readable {names}"
            raise ValueError(msg) from error
        for path in paths:
            found, expected = pooch.file_hash(str(path)), XENIUM_FILES[path.name]
            if found != expected:
                msg = f"{path.name} of {XENIUM_URL} is not the published file: SHA-256 {found}, expected {expected}"
                raise ValueError(msg)
        for path in paths:
            path.replace(folder / path.name)


def _cache(cache_dir: str | PathLike[str] | None, name: str) -> Path:
    import pooch

    cache = Path(os.environ.get("S2S_CACHE_DIR") or pooch.os_cache("s2s_scverse"))
    return cache / name if cache_dir is None else check_path("cache_dir", cache_dir)


def _retrieve(url: str, digest: str | None, name: str, folder: Path, advice: str, *, progress: bool) -> Path:
    """Return the path of a file in a folder, downloaded unless it is there already."""
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=60)
    try:
        return Path(pooch.retrieve(url, digest, fname=name, path=folder, downloader=downloader))
    except requests.RequestException as error:
        msg = f"could not download {url} ({type(error).__name__}); without a connection, {advice}"
        raise ConnectionError(msg) from error
