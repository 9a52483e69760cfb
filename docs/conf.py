"""Sphinx configuration; `.ci/docs` builds these pages and checks their links."""

import os
from importlib.metadata import metadata
from xml.etree import ElementTree as ET

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import NumpyDocstring
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)

info = metadata("s2s-scverse")
project = "s2s_scverse"
author = info["Author"]
copyright = f"2026, {author}"
version = release = info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "ecosystem", "generated/README*", "**.ipynb_checkpoints"]
default_role = "literal"

autosummary_generate = True
autosummary_imported_members = False
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = False
napoleon_use_rtype = True
typehints_defaults = "braces"
always_use_bars_union = True
# Links go by the names that users import, not by the private modules that define them.
PUBLIC = {
    "anndata._core.anndata.AnnData": "anndata.AnnData",
    "matplotlib.axes._axes.Axes": "matplotlib.axes.Axes",
    "numpy.random._generator.Generator": "numpy.random.Generator",
    "pandas.core.frame.DataFrame": "pandas.DataFrame",
    "xarray.core.dataarray.DataArray": "xarray.DataArray",
}


def typehints_formatter(annotation: object, config: object) -> str | None:  # noqa: ARG001
    defined = f"{getattr(annotation, '__module__', '')}.{getattr(annotation, '__qualname__', '')}"
    return f":py:class:`~{PUBLIC[defined]}`" if defined in PUBLIC else None


# Types imported for type checkers alone may be of optional packages; their names are printed all the same.
suppress_warnings = ["sphinx_autodoc_typehints", "config.cache"]  # the latter: a function among the settings

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tutorials are committed with their output

# Inventories are fetched from the network, so only where that is sure to work; without them names stay plain text.
intersphinx_mapping = (
    {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "squidpy": ("https://squidpy.readthedocs.io/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
        "xarray": ("https://docs.xarray.dev/en/stable/", None),
    }
    if os.environ.get("READTHEDOCS") == "True"
    else {}
)

# Every reference must lead somewhere. Names of other packages do only where inventories are fetched; ours always.
nitpicky = True
nitpick_ignore_regex = [
    ("py:data", "Ellipsis"),
    (
        "py:.*",
        r"(anndata|collections\.abc|dataclasses|lightning|matplotlib|numpy|os|pandas|scanpy|spatialdata|torch|typing|xarray)"
        r"(\.\w+)+",
    ),
]

MATHML = "{{http://www.w3.org/1998/Math/MathML}}{}"
ET.register_namespace("", "http://www.w3.org/1998/Math/MathML")
html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "use_repository_button": False,
    "use_download_button": False,
    "navbar_persistent": [],  # the field for searching is in the sidebar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}


def returns_as_text(self: NumpyDocstring, section: str) -> list[str]:  # noqa: ARG001
    """Format what is returned as text: its type is in the signature, and napoleon would take the first line for it."""
    lines = self._dedent(self._consume_to_next_section())
    lines = lines[1:] if lines[0] == ":" else lines  # a mark that sphinx_autodoc_typehints leaves
    if len(lines) > 1 and lines[0].isidentifier() and lines[1].startswith(" "):
        lines = self._dedent(lines[1:])
    return self._format_block(":returns: ", lines)


NumpyDocstring._parse_returns_section = returns_as_text


def know_links(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:  # noqa: ARG001
    """Let links into `tutorials`, itself a link to a folder elsewhere, find their pages: Sphinx asks for real files."""
    for name in env.found_docs:
        env.project._path_to_docname.setdefault(env.doc2path(name).resolve(), name)


def visit_inline_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers draw themselves: no script, no font and no network are needed."""
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def mathml(node: nodes.math | nodes.math_block, *, block: bool) -> str:
    try:
        return with_accents(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        log.warning("%s: %s", error, node.astext(), location=node)
        return node.astext()


def with_accents(text: str) -> str:
    """Correct MathML of docutils, which sets indices below letters with an accent, and overlines as underscores."""
    root = ET.fromstring(text.replace("&ApplyFunction;", "\N{FUNCTION APPLICATION}"))  # noqa: S314 (our own formulas)
    for element in root.iter(MATHML.format("munderover")):
        base, index, accent = element
        if accent.get("stretchy") == "false":
            accented = ET.Element(MATHML.format("mover"), accent="true")
            accented.extend([base, accent])
            element.tag, element[:] = MATHML.format("msub"), [accented, index]
    for element in root.iter(MATHML.format("mo")):
        if element.text == "_":
            element.text = "\N{OVERLINE}"
    return ET.tostring(root, encoding="unicode")


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_inline_math, None), (visit_math_block, None))
    app.connect("env-before-read-docs", know_links)
