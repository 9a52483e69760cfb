"""The command line: ``s2s``."""

from . import _demo, _evaluate, _impute, _info
from ._app import app, main

__all__ = ["app", "main"]

app.command()(_impute.impute)
app.command()(_evaluate.evaluate)
app.command()(_info.info)
app.command()(_demo.demo)
