"""The code of pages and tutorials runs, and pages fit the package: its functions, their docstrings, links, versions."""

import inspect
import json
import os
import re
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest

import s2s_scverse as s2s

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
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


@pytest.fixture
def quickly(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the pages write files
    monkeypatch.setattr(s2s.tl, "impute", partial(s2s.tl.impute, preset="quick", progress=False))
    yield
    plt.close("all")


def code(text):
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def platform_sections():
    page = (DOCS / "platforms.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", platform_sections())
def test_platform(name, quickly):
    scope = {"s2s": s2s, "adata": PLATFORMS[name]()}
    exec(code(platform_sections()[name]), scope)  # noqa: S102
    dense = scope["dense"]
    assert dense.n_obs > dense.obs["s2s_measured"].sum()
    if "s2s" in dense.layers:
        assert np.isfinite(dense.layers["s2s"]).all()
    if "values" in scope:
        assert scope["values"].shape == scope["adata"].shape


@pytest.mark.slow
def test_faq(quickly):
    scope = {}
    exec(code((DOCS / "faq.md").read_text(encoding="utf-8")), scope)  # noqa: S102
    assert scope["maps"].n_vars


NAMESPACES = ("pp", "tl", "get", "pl", "datasets", "nn")
PUBLIC = {
    f"{namespace}.{name}": getattr(getattr(s2s, namespace), name)
    for namespace in NAMESPACES
    for name in getattr(s2s, namespace).__all__
}


def test_api_page_lists_every_public_function():
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^   ((?:{'|'.join(NAMESPACES)})\.\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(name for name, item in PUBLIC.items() if callable(item))


@pytest.mark.parametrize("name", [name for name, item in PUBLIC.items() if inspect.isfunction(item)])
def test_docstrings_list_parameters_and_have_examples(name):
    documented = inspect.getdoc(PUBLIC[name]) or ""
    for parameter in inspect.signature(PUBLIC[name]).parameters:
        assert re.search(rf"^(\w+, )*(\*\*)?{parameter}(, \w+)*$", documented, flags=re.MULTILINE), parameter
    assert "\nExamples\n" in documented


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *(ROOT / ".github").glob("*.md")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_relative_links(path):
    links = re.findall(r"(?:\]\(|src=\")([^)\"#:]+)[)\"#]", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
DATA = Path(os.environ.get("S2S_DATA_DIR", ROOT.parent / "shared/data"))
SYNOVIUM = [f"st_ra_synovium_RA2_{number}.h5ad" for number in (1, 2, 3)]
VISIUM = "visium_mouse_brain_coronal_he.h5ad"
REAL = {  # notebooks on real sections, and what they read
    "2_visium_statistics": [VISIUM],
    "3_damaged_sections": [VISIUM],
    "4_which_genes_to_trust": [VISIUM],
    "6_xenium_mouse_brain": ["raw/xenium_mouse_brain"],
    "7_many_sections": [*SYNOVIUM, VISIUM],
}


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def little_training(monkeypatch):
    """Train as the notebook says, but for one short pass."""
    impute, presets = s2s.tl.impute, s2s.tl.TRAINING_PRESETS

    def short(adata, *genes, preset="default", training=None, max_epochs=1, **options):
        training = training or (s2s.tl.TrainingConfig() if "network" in options else presets[preset])
        training = replace(training, steps_per_epoch=1, batch_size=2, masks=2, n_images=2)
        return impute(adata, *genes, training=training, max_epochs=min(max_epochs, 1), **options)

    monkeypatch.setattr(s2s.tl, "impute", short)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch, little_training):
    if names := REAL.get(path.stem):
        if missing := [DATA / name for name in names if not (DATA / name).exists()]:
            pytest.skip(f"no real section at {missing[0]} (set S2S_DATA_DIR)")
        monkeypatch.setenv("S2S_CACHE_DIR", str(DATA / "raw"))
        monkeypatch.setenv("S2S_DATA_DIR", str(DATA.resolve()))
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(squidpy|sklearn|dask|anndata|zarr|docrep|spatialdata)\b.*")
        for number, cell in enumerate(code_cells(path)):
            exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)  # noqa: S102
    plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_was_executed_in_order_without_errors(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr" and "Warning" in "".join(output["text"])]


@pytest.fixture(scope="module")
def names():
    found = {}
    exec(code((DOCS / "draws.md").read_text(encoding="utf-8")), found)  # noqa: S102
    return found


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_examples_of_the_page_on_statistics(names):
    dense, genes = names["dense"], names["genes"]
    truth = dense.copy()
    truth.X = truth.X.toarray()
    moran = names["autocorrelation"](truth)["moran"]
    bias, of_map = (np.abs(found - moran).mean() for found in (names["moran"]["estimate"], names["of_map"]))
    assert bias < of_map / 2
    share = truth.to_df().gt(2).mean()
    of_map = names["plain"].to_df().gt(2).mean()
    assert np.abs(names["share"]["estimate"] - share).mean() < 0.7 * np.abs(of_map - share).mean()
    clusters = names["clusters"]
    assert clusters.shape == (3, 3)
    assert (np.diag(clusters) > 0).all()
    tests = names["tests"]
    assert tests.index.equals(genes)
    assert tests["p_value"].between(0, 1).all()
    assert (tests["imputation_share"] < 1).all()
    graph = truth.obsp["spatial_connectivities"]
    true = np.sum(truth[:, names["ligand"]].X * (graph @ truth[:, names["receptor"]].X)) / graph.sum()
    assert names["score"]["estimate"].item() == pytest.approx(true, rel=0.05)
