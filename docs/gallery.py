"""Draws the pictures of docs/gallery.md, which shows the code of each function below.

    python docs/gallery.py [NAME ...] [--folder docs/images/gallery]

Both sections are public data sets of 10x Genomics (docs/attribution.md). A copy with fewer genes,
``visium_mouse_brain_coronal_he.h5ad``, is read from ``$S2S_DATA_DIR`` if it is there; otherwise both are downloaded.
"""

import argparse
import os
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import scanpy as sc
from anndata import AnnData
from pictures import with_palette

import s2s_scverse as s2s

GENES = ["Hpca", "Prkcd"]


@cache
def visium() -> AnnData:
    path = Path(os.environ.get("S2S_DATA_DIR", "../shared/data")) / "visium_mouse_brain_coronal_he.h5ad"
    spots = ad.read_h5ad(path) if path.is_file() else s2s.datasets.visium_mouse_brain()
    sc.pp.filter_genes(spots, min_cells=30)
    return spots


@cache
def scored_section() -> AnnData:
    section = s2s.pp.grid(visium(), upsample=1)
    s2s.pp.sparsify(section, stride=2)
    s2s.pp.normalize(section)
    s2s.pp.image_features(section)
    genes = list(dict.fromkeys([*GENES, "Bc1", "Sst", *section.var_names[::10]]))
    s2s.tl.impute(section, genes, preset="quick", covariates="s2s_image", progress=False)
    s2s.tl.impute(section, genes, preset="quick", key_added="without image", progress=False)
    for method in ("pca_kriging", "kriging", "nearest"):
        s2s.tl.interpolate(section, method, genes=genes)
    s2s.tl.evaluate(section, ["s2s", "pca_kriging", "kriging", "nearest"])
    return section


@cache
def binned_section() -> AnnData:
    cells = s2s.datasets.xenium_mouse_brain(progress=False)
    sc.pp.filter_cells(cells, min_counts=10)
    bins = s2s.pp.grid(cells, bin_size=50, upsample=1)
    s2s.pp.sparsify(bins, stride=2)
    s2s.pp.normalize(bins)
    genes = ["Neurod6", "Prox1", "Rorb", "Fibcd1", "Cpne4", "Gfap", "Sst", "Th"]
    s2s.tl.impute(bins, genes, preset="quick", progress=False)
    return bins


@cache
def trained_section() -> AnnData:
    section = scored_section().copy()
    s2s.tl.impute(section, GENES, key_added="network", progress=False)
    return section


def grid() -> None:
    s2s.pl.grid(scored_section(), show=False)


def image_features() -> None:
    s2s.pl.image_features(scored_section(), show=False)


def compare() -> None:
    s2s.pl.compare(scored_section(), ["Hpca", "Prkcd"], show=False)


def compare_columns() -> None:
    columns = ["image", "measured", "imputed", "std"]
    s2s.pl.compare(scored_section(), ["Hpca", "Prkcd"], columns=columns, show=False)


def compare_methods() -> None:
    keys = ["s2s", "pca_kriging", "nearest"]
    s2s.pl.compare(scored_section(), "Bc1", keys=keys, columns=["imputed", "truth"], img=False, show=False)


def compare_image() -> None:
    keys = ["without image", "s2s"]
    s2s.pl.compare(scored_section(), "Bc1", keys=keys, columns=["image", "imputed", "truth"], show=False)


def compare_genes() -> None:
    bins = binned_section()
    genes = ["Neurod6", "Prox1", "Rorb", "Fibcd1", "Cpne4", "Gfap", "Sst", "Th"]
    s2s.pl.compare(bins, genes, columns="imputed", ncols=4, scalebar_dx=1, show=False)


def uncertainty() -> None:
    s2s.pl.uncertainty(scored_section(), ["Hpca", "Sst"], show=False)


def reliability() -> None:
    s2s.pl.reliability(scored_section(), genes=["Hpca", "Prkcd", "Bc1", "Sst"], scales=(2, 4), show=False)


def evaluation() -> None:
    s2s.pl.evaluation(scored_section(), show=False)


def history() -> None:
    s2s.pl.history(trained_section(), "network", show=False)


PICTURES: list[Callable[[], None]] = [
    grid,
    image_features,
    compare,
    compare_columns,
    compare_methods,
    compare_image,
    compare_genes,
    uncertainty,
    reliability,
    evaluation,
    history,
]


def main() -> None:
    """Draw pictures into a folder."""
    names = {picture.__name__: picture for picture in PICTURES}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *names], metavar="NAME", help=", ".join(names))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "images" / "gallery")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("agg")
    for name in options.names or names:
        names[name]()
        buffer = BytesIO()
        plt.gcf().savefig(buffer, dpi=90)
        plt.close("all")
        path = options.folder / f"{name}.png"
        path.write_bytes(with_palette(buffer.getvalue()))
        print(path, flush=True)


if __name__ == "__main__":
    main()
