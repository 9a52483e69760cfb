"""Where real sections are; tests on them skip, saying so, only where the folder is absent."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("S2S_DATA_DIR", Path(__file__).parents[3] / "shared/data"))


@pytest.fixture(scope="session")
def data():
    if not DATA.is_dir():
        pytest.skip(f"no real sections in {DATA} (set S2S_DATA_DIR)")
    return DATA


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder: ``pytest -m real``."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("real")
