"""Where real sections are; tests on them skip, saying so, only where the folder is absent."""

import os
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DATA = Path(os.environ.get("S2S_DATA_DIR", Path(__file__).parents[3] / "shared/data"))


@pytest.fixture(scope="session")
def data():
    if not DATA.is_dir():
        pytest.skip(f"no real sections in {DATA} (set S2S_DATA_DIR)")
    return DATA


@pytest.fixture(scope="module")
def benchmarks(data):
    """The folder of scripts; they can be imported, and find the sections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_DATA_DIR", str(data))
        patch.syspath_prepend(BENCHMARKS)
        yield BENCHMARKS


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder: ``pytest -m real``."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("real")
