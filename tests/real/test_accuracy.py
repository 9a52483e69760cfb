"""Accuracy, time and memory on a real section; skips, saying so, only where the data are absent."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def table(data):
    """Rows of benchmarks/holdout.py on the Xenium mouse brain, all 248 genes: PCC, RMSE, MAE, seconds, GB."""
    command = [sys.executable, BENCHMARKS / "holdout.py", "--sections", "xenium_mouse_brain_ctxhp", "--all-genes"]
    methods = ["--methods", "linear", "kriging", "pca_kriging", "s2s"]
    found = subprocess.run(
        [*command, *methods], check=True, capture_output=True, text=True, env={**os.environ, "S2S_DATA_DIR": str(data)}
    )
    rows = re.findall(r"^\| xenium_mouse_brain_ctxhp \| (\w+) \| \d+ \|(.*)\|$", found.stdout, flags=re.MULTILINE)
    return {method: [float(cell) for cell in cells.split("|")] for method, cells in rows}


def test_no_worse_than_the_reference_of_an_independent_script(table):
    assert table["linear"][0] > 0.5805 - 0.005
    assert table["kriging"][0] > 0.6219 - 0.005
    assert table["pca_kriging"][0] > 0.6431 - 0.005


def test_better_than_kriging_and_pca_kriging_in_all_scores_within_five_minutes_and_three_gigabytes(table):
    ours = table["s2s"]
    assert ours[0] > 0.62
    assert ours[3] < 300
    assert ours[4] < 3
    for method in ("linear", "kriging", "pca_kriging"):
        assert ours[0] > table[method][0]
        assert ours[1] < table[method][1]
        assert ours[2] < table[method][2]
