"""The script that checks links of the built documentation finds those that lead nowhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "check_links.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "_static" / "template.html").write_text('<a href="{{ nothing }}">of the theme</a>')
    (tmp_path / "index.html").write_text(
        '<h1 id="top">a</h1><a href="#top">b</a><a href="sub/">c</a><a href="https://example.org/x">d</a>'
        '<img src="picture.svg" alt="e">'
    )
    (tmp_path / "sub" / "index.html").write_text('<a href="../index.html#top">f</a><a name="old%20way"></a>')
    return tmp_path


def test_a_sound_site_passes(script: ModuleType, site: Path) -> None:
    assert script.check(site) == (2, 4, [])


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ('<a href="gone.html">x</a>', "broken.html:1: gone.html: no such file"),
        ('\n<img src="gone.png" alt="x">', "broken.html:2: gone.png: no such file"),
        ('<a href="index.html#gone">x</a>', "broken.html:1: index.html#gone: no such place"),
        ('<a href="#gone">x</a>', "broken.html:1: #gone: no such place"),
        ('<img src="picture.svg">', "broken.html:1: picture without a text in its place"),
    ],
    ids=["file", "picture", "place elsewhere", "place here", "no text"],
)
def test_what_is_broken_is_told(script: ModuleType, site: Path, html: str, message: str) -> None:
    (site / "broken.html").write_text(html)
    assert script.check(site)[2] == [message]
