"""The command line: ``s2s``."""

from inspect import Parameter, signature

from ._app import app, main, reported
from ._demo import demo
from ._evaluate import evaluate
from ._impute import impute
from ._info import info

__all__ = ["app", "main"]

for command in (impute, evaluate, info, demo):
    named = [
        name for name, parameter in signature(command).parameters.items() if parameter.kind is Parameter.KEYWORD_ONLY
    ]
    app.command()(reported(named)(command))
