"""Processes that are killed or told to stop at any point lose at most one epoch, or one block of genes."""

import signal
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import zarr

SCRIPT = Path(__file__).with_name("interrupted.py")
EPOCHS, BLOCKS = 4, 3

# Where the signal comes, and how many epochs and blocks are still to be done then.
POINTS = {
    "starting maps": (4, 3),
    "training": (2, 3),
    "checkpoint": (3, 3),
    "imputing": (0, 2),
    "writing": (0, 2),
    "naming": (0, 0),
}


@pytest.fixture(scope="module")
def file(_section, tmp_path_factory):
    path = tmp_path_factory.mktemp("interrupted") / "section.h5ad"
    _section.write_h5ad(path)
    return path


def run(file, folder, point="none", sent=0):
    arguments = [sys.executable, SCRIPT, file, folder / "training", folder / "out", point, str(int(sent))]
    return subprocess.run([str(each) for each in arguments], check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def expected(file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    found = run(file, folder)
    assert found.stdout.split() == [str(EPOCHS), str(BLOCKS)], found.stderr
    return layers(folder)


def layers(folder):
    group = zarr.open_group(folder / "out", mode="r")
    return {name: ad.io.read_elem(group[name]) for name in sorted(group)}


CASES = [(signal.SIGKILL, point) for point in POINTS]
CASES += [(sent, point) for sent in (signal.SIGTERM, signal.SIGINT) for point in ("training", "imputing")]


@pytest.mark.parametrize(("sent", "point"), CASES, ids=[f"{sent.name} {point}" for sent, point in CASES])
def test_interrupted_anywhere(file, expected, tmp_path, point, sent):
    stopped = run(file, tmp_path, point, sent)
    assert stopped.returncode in ((-sent, 1) if sent == signal.SIGINT else (-sent,))
    assert not stopped.stdout, "it went on to the end"
    assert not (tmp_path / "out").exists()
    again = run(file, tmp_path)
    assert again.returncode == 0, again.stderr
    epochs, blocks = (int(count) for count in again.stdout.split())
    most_epochs, most_blocks = POINTS[point]
    assert epochs <= most_epochs
    assert blocks <= most_blocks
    found = layers(tmp_path)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "training"]
