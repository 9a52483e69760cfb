"""The command line: ``s2s``."""

from inspect import getfullargspec

from ._app import app, main, reported
from ._demo import demo
from ._evaluate import evaluate
from ._impute import impute
from ._info import info

__all__ = ["app", "main"]

for command in (impute, evaluate, info, demo):
    app.command()(reported(getfullargspec(command).kwonlyargs)(command))
