"""What all commands share: the application, how messages and errors are shown, exit codes."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from .. import __version__

__all__ = ["app", "main", "on_a_terminal", "print_json", "reported"]

HELP = """Dense maps of every gene from one sparsely sampled spatial transcriptomics section.

Exit codes: 0 success; 1 bad input or another failure, explained in one line; 2 wrong usage; 130 Ctrl-C; 143 SIGTERM.
"""

app = typer.Typer(
    name="s2s",
    help=HELP,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


_shown = {"quiet": False, "debug": False}


def main() -> None:
    """Run the command line."""
    if "OMP_NUM_THREADS" in os.environ:
        # Numba, which scanpy uses, would raise the number of threads for torch as well.
        os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    # An exception instead of sudden death: temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def _s2s(
    *,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors and warnings only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    _shown.update(quiet=quiet, debug=debug)


def on_a_terminal() -> bool:
    """Whether to show a progress bar."""
    return sys.stderr.isatty() and not _shown["quiet"]


@contextmanager
def reported() -> Iterator[None]:
    """Write log messages, warnings and errors to stderr, a line each, and exit with the documented codes."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s s2s: %(message)s", datefmt="%H:%M:%S"))
    if on_a_terminal():
        # The progress bar shows what happens inside a run.
        handler.addFilter(lambda record: record.name.startswith(("s2s_scverse._cli", "s2s_scverse.tl")))
    logger = logging.getLogger("s2s_scverse")
    level = logger.level
    if not _shown["quiet"]:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            yield
    except KeyboardInterrupt:
        typer.echo("s2s: interrupted", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except (ImportError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        if _shown["debug"]:
            raise
        typer.echo(f"s2s: error: {_in_one_line(error)}", err=True)
        raise typer.Exit(1) from error
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def print_json(values: Mapping[str, Any]) -> None:
    """Print plain values; NaN and infinity become null."""
    text = json.dumps(values, default=lambda value: value.tolist())
    typer.echo(json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2))


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); s2s info estimates how much is needed".replace(" ()", "")
    # str() of a KeyError puts its text in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"s2s: warning: {' '.join(str(message).split())}", err=True)
