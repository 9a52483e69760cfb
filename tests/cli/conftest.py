from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

import s2s_scverse as s2s
from s2s_scverse import _cli


@pytest.fixture
def run():
    runner = CliRunner()

    def invoke(*arguments):
        return runner.invoke(_cli.app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def little_training(monkeypatch):
    """Train as ever, but on next to nothing."""
    from s2s_scverse._training import TRAINING_PRESETS

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
