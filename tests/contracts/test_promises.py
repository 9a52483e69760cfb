"""Every test that docs/reliability.md names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text())


def test_there_are_promises():
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_exists(file, name):
    found = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
