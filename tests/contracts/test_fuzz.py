"""Broken files are refused: a few seconds of what fuzz.py does for as long as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz.py")
SECONDS = float(os.environ.get("S2S_FUZZ", "1"))
TARGETS = {
    "sections": "h5ad,dense_h5ad,zarr_2,zarr_3,matrix,parquet",
    "others": "checkpoint,store,pictures,genes,archive",
}


@pytest.mark.parametrize("targets", TARGETS.values(), ids=list(TARGETS))
def test_broken_files_are_refused(tmp_path, targets):
    command = [sys.executable, "-W", "ignore", SCRIPT, targets, SECONDS, tmp_path, 0]
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
    found = subprocess.run(
        [str(each) for each in command], check=False, capture_output=True, text=True, env=os.environ | one_thread
    )
    assert found.returncode == 0, found.stderr
    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert [each["target"] for each in told] == targets.split(",")
    for each in told:
        assert each["inputs"] >= 50
        assert each["wrong"] == []
