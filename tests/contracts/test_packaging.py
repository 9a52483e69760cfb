"""The API page and docstrings fit the package; links of README and of GitHub's pages lead somewhere."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import s2s_scverse

ROOT = Path(__file__).parents[2]
NAMESPACES = ("pp", "tl", "get", "pl", "datasets", "nn")
PUBLIC = {
    f"{namespace}.{name}": getattr(getattr(s2s_scverse, namespace), name)
    for namespace in NAMESPACES
    for name in getattr(s2s_scverse, namespace).__all__
}


def test_api_page_lists_every_public_function():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^   ((?:{'|'.join(NAMESPACES)})\.\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(name for name, item in PUBLIC.items() if callable(item))


@pytest.mark.parametrize("name", [name for name, item in PUBLIC.items() if inspect.isfunction(item)])
def test_docstrings_list_parameters_and_have_examples(name):
    documented = inspect.getdoc(PUBLIC[name]) or ""
    for parameter in inspect.signature(PUBLIC[name]).parameters:
        assert re.search(rf"^(\w+, )*(\*\*)?{parameter}(, \w+)*$", documented, flags=re.MULTILINE), parameter
    assert "\nExamples\n" in documented


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *(ROOT / ".github").glob("*.md")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_relative_links(path):
    links = re.findall(r"(?:\]\(|src=\")([^)\"#:]+)[)\"#]", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_files_name_the_same_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    latest = re.search(r"^## \[(.+?)\] - ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert latest is not None
    assert latest[1] == version
