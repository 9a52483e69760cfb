"""What a new user reads and installs fits the package: README, constraints, changelog, API page, references."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import s2s_scverse

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMESPACES = ("pp", "tl", "get", "pl", "datasets", "nn")


def pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, version = line.split("==")
            found[canonicalize_name(name)] = version
    return found


def requirements(*more: str) -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    named = ("cluster", "spatialdata", "squidpy", "test", *more)
    lines = PROJECT["dependencies"] + [line for extra in named for line in extras[extra]]
    return [Requirement(line) for line in lines if not line.startswith("s2s-scverse[")]


@pytest.mark.parametrize("requirement", requirements("lint", "doc"), ids=lambda requirement: requirement.name)
def test_only_pynndescent_has_an_upper_bound(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier} - {">="}
    assert operators == ({"<"} if requirement.name == "pynndescent" else set())


@pytest.mark.parametrize(
    ("file", "extras"), [("constraints.txt", ("lint", "doc")), ("constraints-newest.txt", ())], ids=str
)
def test_constraints_are_exact_within_the_bounds_and_installable_anywhere(file: str, extras: tuple[str, ...]) -> None:
    found = pins(file)
    for requirement in requirements(*extras):
        assert found[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert not [version for version in found.values() if "+" in version]
    assert not [name for name in found if name == "s2s-scverse" or name.startswith(("nvidia", "cuda"))]


@pytest.mark.parametrize(
    ("marker", "command"),
    [
        ("demo", "python -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/s2s demo"),
        (
            "test",
            'python -m venv .venv && .venv/bin/pip install -c constraints.txt -e ".[test]" && .venv/bin/pytest',
        ),
    ],
)
def test_readme_has_the_commands_that_ci_runs(marker: str, command: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- {marker} command -->\n```bash\n{command}\n```\n" in readme
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"{marker}_command=$(readme_command {marker})" in script
    assert f"${{{marker}_command" in script


def test_ci_script_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111
    assert "\nset -euo pipefail\n" in text
    assert "|| true" not in text
    assert "-W error" in text
    assert "--cov-fail-under=90" in text


def test_changelog_is_kept() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.startswith("# Changelog\n")
    sections = re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)
    assert sections[0] == "Unreleased" or sections[0] == PROJECT["version"]
    kinds = set(re.findall(r"^### (.+)$", changelog, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_api_page_lists_every_public_function() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^   ((?:{'|'.join(NAMESPACES)})\.\w+)$", page, flags=re.MULTILINE)
    public = [
        f"{namespace}.{name}"
        for namespace in NAMESPACES
        for name in getattr(s2s_scverse, namespace).__all__
        if callable(getattr(getattr(s2s_scverse, namespace), name))
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(public)


def test_every_public_function_has_a_docstring_that_lists_its_parameters() -> None:
    for namespace in NAMESPACES:
        for name in getattr(s2s_scverse, namespace).__all__:
            item = getattr(getattr(s2s_scverse, namespace), name)
            if not inspect.isfunction(item):
                continue
            documented = inspect.getdoc(item) or ""
            for parameter in inspect.signature(item).parameters:
                assert re.search(rf"^(\w+, )*{parameter}(, \w+)*$", documented, flags=re.MULTILINE), (name, parameter)
            assert "\nExamples\n" in documented, name


def test_everything_cited_is_in_the_references() -> None:
    bibliography = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{(.+?),$", bibliography, flags=re.MULTILINE)
    assert len(keys) == len({key.lower() for key in keys})
    sources = [*(ROOT / "s2s_scverse").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    cited = {
        key
        for path in sources
        for group in re.findall(r"(?::cite:\w+:|\{cite:\w+\})`(.+?)`", path.read_text(encoding="utf-8"))
        for key in group.replace(" ", "").split(",")
    }
    assert cited <= set(keys)
