"""What all commands share: the application, how errors and messages are shown, exit codes."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Any, Final

import typer

from .. import __version__

__all__ = ["Json", "app", "main", "on_a_terminal", "print_json", "reported"]

log = logging.getLogger(__name__)

HELP = """Dense maps of every gene from one sparsely sampled spatial transcriptomics section.

Exit codes: 0 all went well; 1 bad input, or a failure that is told in one line; 2 wrong usage; 130 Ctrl-C; 143 SIGTERM.
"""

app = typer.Typer(
    name="s2s",
    help=HELP,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ENDED_BY: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a process at once, without removing what it has half written; Windows has no SIGHUP."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass
class _Shown:
    """What the user asked to be told."""

    quiet: bool = False
    debug: bool = False


_shown = _Shown()


def main() -> None:
    """Run the command line."""
    if "OMP_NUM_THREADS" in os.environ:
        # Numba, which scanpy uses, would raise the number of threads for torch as well.
        os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell errors and warnings only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an error comes from.")] = False,
) -> None:
    _shown.quiet, _shown.debug = quiet, debug


def on_a_terminal() -> bool:
    """Whether somebody is looking at a progress bar."""
    return sys.stderr.isatty() and not _shown.quiet


@contextmanager
def reported() -> Iterator[None]:
    """Tell what is done, warn and fail in lines on stderr, and exit with the codes that the help promises."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s s2s: %(message)s", datefmt="%H:%M:%S"))
    if on_a_terminal():
        # What happens inside a run is shown by its bar.
        handler.addFilter(lambda record: record.name.startswith(("s2s_scverse._cli", "s2s_scverse.tl")))
    logger = logging.getLogger("s2s_scverse")
    level = logger.level
    if not _shown.quiet:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    # What is ignored stays so: nohup has a meaning.
    heeded = [number for number in ENDED_BY if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, _terminate) for number in heeded}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            yield
    except KeyboardInterrupt:
        typer.echo("s2s: interrupted", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None
    except (ImportError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        if _shown.debug:
            raise
        typer.echo(f"s2s: error: {_in_one_line(error)}", err=True)
        raise typer.Exit(1) from error
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)
        logger.removeHandler(handler)
        logger.setLevel(level)


def print_json(found: Mapping[str, Any]) -> None:
    """Print plain values; numbers that JSON has no words for become null."""
    typer.echo(json.dumps(_plain(found), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); s2s info tells how much is needed".replace(" ()", "")
    # A KeyError's text is its argument; str() would put it in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"s2s: warning: {' '.join(str(message).split())}", err=True)


def _terminate(number: int, _: FrameType | None) -> None:
    """End as after an error, so that no unfinished file stays."""
    raise SystemExit(128 + number)
