"""The memory that imputing takes does not depend on the number of genes, if layers go to a folder."""

import subprocess
import sys
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import zarr

import s2s_scverse as s2s

SCRIPT = Path(__file__).with_name("limited.py")
MANY, FEW = 10_240, 1024
SPARE = 100 * 2**20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A section with few genes and one with ten times as many, in chunks of genes."""
    folder = tmp_path_factory.mktemp("limited")
    adata = s2s.datasets.simulated_tissue(n_rows=34, n_cols=36, n_genes=MANY, depth=10_000)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    del adata.layers["truth"]
    dense = s2s.pp.grid(adata, upsample=2)
    dense.X = dense.X.toarray()
    paths = []
    with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata")
        for n_genes in (FEW, MANY):
            chosen = np.linspace(0, MANY - 1, n_genes).round().astype(int)
            paths.append(folder / f"{n_genes}.zarr")
            dense[:, chosen].copy().write_zarr(paths[-1], chunks=(1000, 256))
    return paths


def run(section, store, limit=0):
    arguments = [sys.executable, SCRIPT, section, store, limit]
    return subprocess.run([str(each) for each in arguments], check=False, capture_output=True, text=True, timeout=300)


def test_ten_times_the_genes_in_the_same_memory(files, tmp_path):
    few, many = files
    small = run(few, tmp_path / "few")
    assert small.returncode == 0, small.stderr
    taken = int(small.stdout)
    layers = 2 * 4 * np.prod(zarr.open_group(many, mode="r")["X"].shape)
    assert layers > 2 * SPARE
    large = run(many, tmp_path / "many", taken + SPARE)
    assert large.returncode == 0, large.stderr
    assert zarr.open_group(tmp_path / "many", mode="r")["s2s"].shape[1] == MANY
    # Layers in memory do not fit into the same.
    whole = run(many, "none", taken + SPARE)
    assert whole.returncode != 0
    assert "MemoryError: this takes about " in whole.stderr.splitlines()[-1]
    assert "pass store=" in whole.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("stored", "advice"), [(False, r"pass store= \(a folder .*\), fewer genes="), (True, "pass fewer genes=")]
)
def test_memory_that_runs_out_while_reading_is_explained(section, quick, tmp_path, monkeypatch, stored, advice):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("s2s_scverse.tl._source.Source.read", full)
    with pytest.raises(MemoryError, match=f"this takes more memory than there is: {advice}"):
        s2s.tl.impute(section, store=tmp_path / "layers" if stored else None, **quick)
    assert not list(tmp_path.iterdir())
