"""Every tutorial runs, cell by cell, with less training than in the notebook."""

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import s2s_scverse as s2s

TUTORIALS = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
DATA = Path(os.environ.get("S2S_DATA_DIR", Path(__file__).parents[2] / "shared/data"))
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
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


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
        for number, source in enumerate(code_cells(path)):
            exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)  # noqa: S102
    plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_was_executed_in_order_without_errors(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr" and "Warning" in "".join(output["text"])]
