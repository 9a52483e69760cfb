"""The entry for scverse's list of packages has what its schema demands."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# schema.json of scverse/ecosystem-packages, August 2026: what concerns an entry such as ours.
REQUIRED = {"name", "description", "license", "tags", "primary_category", "language", "category", "install"}
TO_FILL_IN = {"project_home", "documentation_home"}  # there is no public address yet: docs/ecosystem/README.md
OPTIONAL = {"tutorials_home", "publications", "contact", "logo", "test_command"}
TAGS = {"spatial transcriptomics", "preprocessing", "denoising", "visualization", "deep learning"}
TAGS |= {"probabilistic modeling"}


def test_registry_entry() -> None:
    entry = yaml.safe_load((ROOT / "docs" / "ecosystem" / "meta.yaml").read_text(encoding="utf-8"))
    assert REQUIRED <= set(entry) <= REQUIRED | TO_FILL_IN | OPTIONAL
    assert entry["name"] == "s2s_scverse"
    assert entry["install"] == {"pypi": PROJECT["name"]}
    assert entry["license"] == PROJECT["license"] == "BSD-3-Clause"
    assert (entry["primary_category"], entry["language"], entry["category"]) == ("Spatial", "Python", "ecosystem")
    assert set(entry["tags"]) <= TAGS
    assert len(entry["tags"]) == len(set(entry["tags"])) > 0
    assert isinstance(entry["test_command"], str)
