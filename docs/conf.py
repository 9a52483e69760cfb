"""Sphinx configuration: `sphinx-build -W docs docs/_build`."""

import os
from importlib.metadata import metadata

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
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "generated/README*", "**.ipynb_checkpoints"]
default_role = "literal"

autosummary_generate = True
autosummary_imported_members = False
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = True
typehints_defaults = "braces"
always_use_bars_union = True
# Types imported for type checkers alone may be of optional packages; their names are printed all the same.
suppress_warnings = ["sphinx_autodoc_typehints"]

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

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {"use_repository_button": False, "use_download_button": False}
