"""What scverse's list of packages, GitHub and PyPI read: registry entry, citation, forms, scripts, workflows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GITHUB = ROOT / ".github"

# From schema.json of scverse/ecosystem-packages, as of August 2026: what concerns an entry such as ours.
REQUIRED = {
    "name",
    "description",
    "project_home",
    "documentation_home",
    "license",
    "tags",
    "primary_category",
    "language",
}
REQUIRED |= {"category", "install"}
OPTIONAL = {"tutorials_home", "publications", "contact", "logo", "test_command"}
TO_FILL_IN = {"project_home", "documentation_home"}  # there is no public address yet: docs/ecosystem/README.md
TAGS = {
    "spatial transcriptomics",
    "preprocessing",
    "denoising",
    "visualization",
    "deep learning",
    "probabilistic modeling",
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_registry_entry_has_what_is_required_but_for_the_public_address() -> None:
    entry = read(ROOT / "docs" / "ecosystem" / "meta.yaml")
    assert set(entry) >= REQUIRED - TO_FILL_IN
    assert set(entry) <= REQUIRED | OPTIONAL
    assert entry["name"] == "s2s_scverse"
    assert entry["install"] == {"pypi": PROJECT["name"]}
    assert entry["license"] == PROJECT["license"] == "BSD-3-Clause"
    assert (entry["primary_category"], entry["language"], entry["category"]) == ("Spatial", "Python", "ecosystem")
    assert 1 <= len(entry["tags"]) <= 10
    assert len(entry["tags"]) == len(set(entry["tags"]))
    assert set(entry["tags"]) <= TAGS
    assert isinstance(entry["test_command"], str)
    guide = (ROOT / "docs" / "ecosystem" / "README.md").read_text(encoding="utf-8")
    for field in TO_FILL_IN - set(entry):
        assert f"`{field}`" in guide


def test_no_address_is_made_up() -> None:
    ours = re.compile(r"(github\.com|readthedocs\.io)/[\w-]*/?s2s[-_]scverse|s2s-scverse\.readthedocs", re.IGNORECASE)
    for path in [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md"), *GITHUB.rglob("*.*")]:
        if path.is_file() and path.suffix in {".md", ".toml", ".yaml", ".yml", ".cff", ".txt"}:
            assert not ours.search(path.read_text(encoding="utf-8")), path


def test_citation_names_the_software_and_the_paper() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    (paper,) = citation["references"]
    bibliography = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    entry = bibliography[bibliography.index("{Fang2025,") :].split("\n}\n")[0]
    names = re.search(r"author = \{(.+)\}", entry)
    assert names is not None
    expected = [tuple(name.split(", ")) for name in names[1].split(" and ")]
    assert [(author["family-names"], author["given-names"]) for author in paper["authors"]] == expected
    assert paper["title"] in entry.replace("{", "").replace("}", "")
    assert paper["url"] in entry
    assert str(paper["year"]) in entry


@pytest.mark.parametrize("name", ["bug_report", "feature_request", "question"])
def test_issue_forms_are_of_the_form_that_github_reads(name: str) -> None:
    form = read(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= set(form)
    kinds = [part["type"] for part in form["body"]]
    assert set(kinds) <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert set(kinds) != {"markdown"}
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in asked)
    assert len({part["id"] for part in asked}) == len(asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_the_code_of_the_bug_form_runs() -> None:
    form = read(GITHUB / "ISSUE_TEMPLATE" / "bug_report.yml")
    (code,) = [part["attributes"]["value"] for part in form["body"] if part.get("id") == "code"]
    names: dict[str, Any] = {}
    exec(compile(code, "bug_report.yml", "exec"), names)  # noqa: S102
    assert "s2s" in names["dense"].layers


@pytest.mark.parametrize(
    "name",
    ["CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "PULL_REQUEST_TEMPLATE.md", "ISSUE_TEMPLATE/config.yml"],
)
def test_community_files_are_there_and_name_no_mail_address(name: str) -> None:
    text = (GITHUB / name).read_text(encoding="utf-8")
    assert text.strip()
    assert not re.search(r"\w@\w+\.\w", text)


@pytest.mark.parametrize("name", ["package", "minimum", "newest", "docs", "run"])
def test_scripts_stop_at_the_first_failure(name: str) -> None:
    script = ROOT / ".ci" / name
    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert "|| true" not in text


def test_workflows_call_the_scripts() -> None:
    def commands(name: str) -> list[str]:
        jobs = read(GITHUB / "workflows" / name)["jobs"].values()
        return [step["run"].split()[0] for job in jobs for step in job["steps"] if "run" in step]

    assert ".ci/package" in commands("build.yaml")
    assert ".ci/run" in commands("test.yaml")
    assert ".ci/minimum" in commands("test.yaml")
    assert ".ci/docs" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    jobs = read(GITHUB / "workflows" / "test.yaml")["jobs"]
    assert set(jobs["check"]["needs"]) == set(jobs) - {"check"}
