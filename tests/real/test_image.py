"""What the image adds on the real sections that have one; skips, saying so, only where the data are absent."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "image.py"
USELESS = ("shuffled", "constant", "shifted", "another")


@pytest.fixture(scope="module")
def table(data):
    """Rows of benchmarks/image.py, with changes in per cent of the result without covariates."""
    lines = []
    for options in (["image", "--seeds", "0", "1", "2"], USELESS):
        told = subprocess.run(
            [sys.executable, SCRIPT, "--covariates", *options],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "S2S_DATA_DIR": str(data)},
        ).stdout
        rows = [line.strip("| ") for line in told.splitlines() if line.startswith("| ")]
        lines += rows[1:] if lines else rows
    table = pd.read_csv(io.StringIO("\n".join(lines)), sep=r"\s*\|\s*", engine="python")
    table[["gain", "RMSE"]] = table[["gain", "RMSE"]].apply(lambda column: column.str.rstrip(" %").astype(float))
    return table.set_index("covariates")


def test_the_image_helps_on_every_section(table):
    image = table.loc["image"]
    assert image["section"].nunique() == 8
    assert image["gain"].mean() > 10
    assert image["gain"].min() > 0
    assert image["RMSE"].max() < 0
    assert image["coverage"].between(0.88, 0.94).all()


def test_time_with_the_image(table):
    image = table.loc["image"]
    assert image["features CPU s"].max() < 3
    assert (image["CPU s with"] < 2 * image["CPU s"]).all()


@pytest.mark.parametrize("covariates", USELESS)
def test_useless_covariates_do_no_harm(table, covariates):
    changes = table.loc[covariates, ["gain", "RMSE"]].mean()
    assert changes.abs().max() < 0.5
