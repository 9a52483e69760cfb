"""The code of the user guide runs: every platform's functions on a simulated section like it, and that of the FAQ."""

import re
from functools import partial
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest

import s2s_scverse as s2s

DOCS = Path(__file__).parents[2] / "docs"
tissue = partial(s2s.datasets.simulated_tissue, n_rows=24, n_cols=24, n_genes=8)


def with_image():
    adata = tissue(lattice="hex")
    scale = 300 / (adata.obsm["spatial"].max() + 100)
    image = np.random.default_rng(0).integers(80, 200, (300, 300, 3), dtype=np.uint8)
    factors = {"tissue_hires_scalef": scale, "spot_diameter_fullres": 55.0}
    adata.uns["spatial"] = {"library": {"images": {"hires": image}, "scalefactors": factors}}
    return adata


def two_sections():
    return ad.concat({"A": tissue(), "B": tissue(rng=1)}, label="sample", index_unique="-")


PLATFORMS = {
    "Visium, ST": with_image,
    "DBiT-seq": partial(tissue, pitch=50.0),
    "Visium HD, Stereo-seq": partial(tissue, n_rows=36, n_cols=36, n_genes=40, pitch=16.0),
    "Xenium, MERFISH, CosMx": partial(tissue, lattice="cells", pitch=50.0),
    "Slide-seq": partial(tissue, lattice="cells", pitch=20.0, depth=60.0),
    "Several sections": two_sections,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(s2s.tl, "impute", partial(s2s.tl.impute, preset="quick", progress=False))
    yield
    plt.close("all")


def code(text):
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def platform_sections():
    page = (DOCS / "platforms.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", platform_sections())
def test_platform(name):
    scope = {"s2s": s2s, "adata": PLATFORMS[name]()}
    exec(code(platform_sections()[name]), scope)  # noqa: S102
    dense = scope["dense"]
    assert dense.n_obs > dense.obs["s2s_measured"].sum()
    if "s2s" in dense.layers:
        assert np.isfinite(dense.layers["s2s"]).all()
    if "values" in scope:
        assert scope["values"].shape == scope["adata"].shape


@pytest.mark.slow
def test_faq():
    scope = {}
    exec(code((DOCS / "faq.md").read_text(encoding="utf-8")), scope)  # noqa: S102
    assert scope["maps"].n_vars
