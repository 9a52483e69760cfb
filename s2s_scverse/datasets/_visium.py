"""Public Visium sections of 10x Genomics."""

import json
import os
import tarfile
import warnings
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from anndata import AnnData

from .._checks import check_path
from .._keys import ARRAY_COL, ARRAY_ROW, IN_TISSUE, SPATIAL

__all__ = ["visium_breast_cancer", "visium_human_lymph_node", "visium_mouse_brain"]

URL: Final = "https://cf.10xgenomics.com/samples/spatial-exp/1.1.0/{0}/{0}_{1}"
FILES: Final = ("filtered_feature_bc_matrix.h5", "spatial.tar.gz")
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
COLUMNS: Final = [IN_TISSUE, ARRAY_ROW, ARRAY_COL, "pxl_row", "pxl_col"]  # of tissue_positions_list.csv


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
    """Download the files of a sample unless they are cached, and read them."""
    import pooch
    import requests

    cache = Path(os.environ.get("S2S_CACHE_DIR") or pooch.os_cache("s2s_scverse")) / "visium"
    folder = cache if cache_dir is None else check_path("cache_dir", cache_dir)
    paths = []
    for file, digest in zip(FILES, SHA256[sample], strict=True):
        url, name = URL.format(sample, file), f"{sample}_{file}"
        downloader = pooch.HTTPDownloader(progressbar=progress, timeout=60)
        try:
            path = pooch.retrieve(url, f"sha256:{digest}", fname=name, path=folder, downloader=downloader)
        except requests.RequestException as error:
            msg = (
                f"could not download {url} ({type(error).__name__}); without a connection, put that file "
                f"(SHA-256 {digest}) into {folder}"
            )
            raise ConnectionError(msg) from error
        paths.append(Path(path))
    return _read(paths[0], paths[1], sample)


def _read(matrix: Path, spatial: Path, sample: str) -> AnnData:
    """Read counts, positions and images."""
    import scanpy as sc
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variable names are not unique")
        adata = sc.read_10x_h5(matrix)
    adata.var_names_make_unique()
    with tarfile.open(spatial) as archive:

        def member(name: str) -> Any:
            return archive.extractfile(f"spatial/{name}")

        positions = pd.read_csv(member("tissue_positions_list.csv"), header=None, index_col=0, names=COLUMNS)
        images = {kind: np.asarray(Image.open(member(f"tissue_{kind}_image.png"))) for kind in ("hires", "lowres")}
        scalefactors = json.load(member("scalefactors_json.json"))
    positions = positions.loc[adata.obs_names]
    adata.obs = positions[COLUMNS[:3]].rename_axis(None)
    adata.obsm[SPATIAL] = positions[["pxl_col", "pxl_row"]].to_numpy()
    adata.uns["spatial"] = {sample: {"images": images, "scalefactors": scalefactors, "metadata": {}}}
    return adata
