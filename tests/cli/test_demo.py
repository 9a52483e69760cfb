import json

import anndata as ad
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._cli import _demo

SMALL = ("--rows", 16, "--cols", 18, "--n-genes", 8, "--max-epochs", 0, "--preset", "fast")


def test_demo(run, tmp_path):
    folder = tmp_path / "new" / "folder"
    result = run("demo", "--out-dir", folder, *SMALL)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["demo.h5ad", "demo.png"]
    adata = ad.read_h5ad(folder / "demo.h5ad")
    measured, held_out = (adata.obs[key].to_numpy() for key in ("s2s_measured", "s2s_held_out"))
    first, *lines = result.stdout.splitlines()
    assert first == f"Simulated section: {measured.sum()} spots measured, {held_out.sum()} held out, 8 genes."
    assert lines[2].split() == ["method", "pcc", "spearman", "rmse", "mae", "ssim", "coverage", "seconds"]
    rows = {line.split()[0]: [float(value) for value in line.split()[1:6]] for line in lines[3:9]}
    means = s2s.get.evaluation_df(adata).groupby("method", observed=True)[["pcc", "spearman", "rmse", "mae", "ssim"]]
    assert set(rows) == {"s2s", "stack", "pca_kriging", "kriging", "linear", "nearest"}
    for method, expected in means.mean().iterrows():
        assert rows[method] == pytest.approx(expected.tolist(), abs=6e-4)
    told = [line.split(":")[0] for line in lines if " against " in line]
    assert told == ["s2s against kriging", "s2s against pca_kriging", "s2s against stack"]
    assert "what the network adds" not in result.stdout  # none was trained
    np.testing.assert_array_equal(adata.layers["s2s"][measured], adata.X.toarray()[measured])
    assert (folder / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_with_an_image_as_json(run, tmp_path):
    result = run("-q", "demo", "--image", "--out-dir", tmp_path, "--seed", 3, "--json", *SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["seed"] == 3
    scores = [row["pcc"] for row in found["scores"]]
    assert scores == sorted(scores, reverse=True)
    assert found["files"] == {"h5ad": str(tmp_path / "demo.h5ad"), "png": str(tmp_path / "demo.png")}
    assert [gain["over"] for gain in found["gains"]] == ["kriging", "pca_kriging", "stack_without_image", "stack"]
    adata = ad.read_h5ad(tmp_path / "demo.h5ad")
    assert adata.uns["s2s"]["s2s"]["params"]["covariates"] == "s2s_image"
    assert adata.uns["spatial"]["demo"]["images"]["hires"].shape[2] == 3


def test_normalisation_of_a_spot_depends_on_no_other(monkeypatch):
    simulate = s2s.datasets.simulated_tissue
    before = _demo._simulate(16, 18, 8, 0, image=False)

    def with_other_hidden_spots(**options):
        adata = simulate(**options)
        adata.X[np.flatnonzero(before.obs["s2s_held_out"])] *= 7
        return adata

    monkeypatch.setattr(s2s.datasets, "simulated_tissue", with_other_hidden_spots)
    after = _demo._simulate(16, 18, 8, 0, image=False)
    measured = before.obs["s2s_measured"].to_numpy()
    assert (before.X[measured] != after.X[measured]).nnz == 0
