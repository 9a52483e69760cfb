"""Accuracy, time and memory on a real section; skips, saying so, only where the data are absent."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
METHODS = ("linear", "kriging, no depth", "PCA kriging, no depth", "s2s")


@pytest.fixture(scope="module")
def table(data, tmp_path_factory):
    """Rows of benchmarks/run.py on the Xenium mouse brain."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, BENCHMARKS / "run.py", "--sections", "xenium_mouse_brain_ctxhp", "--methods", *METHODS]
    subprocess.run(
        [*command, "--preset", "default", "--results", folder],
        check=True,
        capture_output=True,
        env={**os.environ, "S2S_DATA_DIR": str(data)},
    )
    with (folder / "scores.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    return {
        method: {name: float(rows[method][name]) for name in ("pcc", "rmse", "seconds", "gigabytes")}
        for method in METHODS
    }


def test_no_worse_than_the_reference_of_an_independent_script(table):
    assert table["linear"]["pcc"] > 0.5805 - 0.005
    assert table["kriging, no depth"]["pcc"] > 0.6219 - 0.005
    assert table["PCA kriging, no depth"]["pcc"] > 0.6431 - 0.005


def test_better_than_kriging_and_pca_kriging_within_five_minutes_and_three_gigabytes(table):
    ours = table["s2s"]
    assert ours["pcc"] > 0.62
    assert ours["seconds"] < 300
    assert ours["gigabytes"] < 3
    for method in METHODS[:-1]:
        assert ours["pcc"] > table[method]["pcc"]
        assert ours["rmse"] < table[method]["rmse"]
