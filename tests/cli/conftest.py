import re

import pandas as pd
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
def done(run):
    """Run a command that succeeds."""

    def invoke(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return invoke


@pytest.fixture
def told(run):
    """Check that a command fails as promised: exit code 1, and nothing but one line that says why."""

    def check(text, *arguments):
        result = run("-q", *arguments)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        assert result.stderr.startswith("s2s: error: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
        assert re.search(text, result.stderr), result.stderr

    return check


@pytest.fixture(scope="session")
def counts():
    return s2s.datasets.simulated_tissue(n_rows=18, n_cols=16, n_genes=6)


@pytest.fixture(scope="session")
def h5ad(counts, tmp_path_factory):
    path = tmp_path_factory.mktemp("sections") / "section.h5ad"
    counts.write_h5ad(path)
    return path


@pytest.fixture
def outs(counts, write_10x, tmp_path):
    """Space Ranger's folder without positions, and those: also of a spot outside the tissue."""
    folder = tmp_path / "outs"
    (folder / "spatial").mkdir(parents=True)
    kinds = ["Gene Expression"] * counts.n_vars
    path = folder / "filtered_feature_bc_matrix.h5"
    write_10x(path, counts.X, counts.obs_names, counts.var_names, kinds)
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
