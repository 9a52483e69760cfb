from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from typer.testing import CliRunner

import s2s_scverse as s2s
from s2s_scverse import _cli
from s2s_scverse._cli import _probe


@pytest.fixture
def run():
    runner = CliRunner()

    def invoke(*arguments):
        return runner.invoke(_cli.app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture(autouse=True)
def looked_through_here(monkeypatch):
    """Look through files in this process: one of their own for each of hundreds takes long; see test_probe.py."""

    def check(path):
        wrong = _probe.look_through(path)
        if wrong is not None:
            raise _probe.Refused(wrong)

    monkeypatch.setattr("s2s_scverse._cli._read.check_through", check)


@pytest.fixture
def little_training(monkeypatch):
    """Train as ever, but on next to nothing."""
    from s2s_scverse._train import TRAINING_PRESETS

    steps = replace(TRAINING_PRESETS["fast"], max_epochs=1, steps_per_epoch=2, batch_size=2, patterns=2, n_images=2)
    monkeypatch.setattr(s2s.tl, "impute", partial(s2s.tl.impute, training=steps))


@pytest.fixture(scope="session")
def counts():
    return s2s.datasets.simulated_tissue(n_rows=18, n_cols=16, n_genes=6)


@pytest.fixture(scope="session")
def h5ad(counts, tmp_path_factory):
    path = tmp_path_factory.mktemp("sections") / "section.h5ad"
    counts.write_h5ad(path)
    return path


@pytest.fixture
def space_ranger(counts, tmp_path):
    """What Space Ranger writes of a section: spots outside the tissue have positions too."""
    folder = tmp_path / "outs"
    (folder / "spatial").mkdir(parents=True)
    matrix = sparse.csr_matrix(counts.X)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = counts.obs_names.to_numpy().astype("S")
        group["data"], group["indices"] = matrix.data.astype(np.int32), matrix.indices.astype(np.int64)
        group["indptr"], group["shape"] = matrix.indptr.astype(np.int64), np.array(matrix.shape[::-1])
        features = group.create_group("features")
        for key in ("id", "name"):
            features[key] = counts.var_names.to_numpy().astype("S")
        features["feature_type"] = np.full(counts.n_vars, "Gene Expression").astype("S")
        features["genome"] = np.full(counts.n_vars, "x").astype("S")
    table = pd.DataFrame(
        {
            "barcode": counts.obs_names,
            "in_tissue": 1,
            "array_row": counts.obs["array_row"].to_numpy(),
            "array_col": counts.obs["array_col"].to_numpy(),
            "pxl_row_in_fullres": counts.obsm["spatial"][:, 1],
            "pxl_col_in_fullres": counts.obsm["spatial"][:, 0],
        }
    )
    outside = table.iloc[[0]].assign(barcode="outside", in_tissue=0, array_row=900)
    return folder, pd.concat([outside, table.sample(frac=1, random_state=0)])
