"""The application, and how all commands report messages, errors and exit codes."""

import json
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from .. import __version__

SHELL_WORDS: Final = {
    "call s2s.pp.normalize(adata) first": "pass --normalize",
    "start from counts: s2s.pp.normalize(adata)": "pass --layer with the counts",
    "pp.normalize needs counts: pass the layer that has them": "--normalize needs counts: pass --layer with the counts",
    "call s2s.pp.image_features first": "pass --image auto",
    "call adata.var_names_make_unique() first": "make them unique first",
    "read the section with its image (squidpy.read.visium), or pass img=": (
        "pass the folder of Space Ranger, or a file with --image FILE"
    ),
    "pass img=": "pass --image FILE",
    "adata.": "",
    "adata ": "the input ",
}
"""Python's words in messages, and what they are on the command line."""
HELP = """Impute the unmeasured sites of a sparsely sampled spatial transcriptomics section.

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
_options: list[str] = []  # Python names of the options of the running command


def main() -> None:
    """Run the command line."""
    if "OMP_NUM_THREADS" in os.environ:
        # Numba, which scanpy uses, would raise the number of threads for torch as well.
        os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    # Raise instead of exiting at once, so that temporary files are removed.
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
def reported(options: Iterable[str]) -> Iterator[None]:
    """Write log messages, warnings and errors to stderr, a line each, and exit with the documented codes.

    `options` are the Python names of the options of the command.
    """
    _options[:] = options
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


def in_shell_words(text: str) -> str:
    """Return a text of the Python functions with the options of the running command instead of their arguments."""
    from .._checks import did_you_mean

    for python, shell in SHELL_WORDS.items():
        text = text.replace(python, shell)
    for name in _options:
        option = f"--{name.replace('_', '-')}"
        text = re.sub(rf"(?<![\w.-]){name}=(?=[\W\d]|$)", f"{option} ", text)  # an argument and its value
        text = re.sub(rf"{option} (?=[ .,;:)])", option, text)  # an argument alone
        text = re.sub(rf"^{name}(?= )" + (rf"|(?<![\w.'-]){name}(?![\w'])" if "_" in name else ""), option, text)
    found = None if "did you mean" in text else re.search(r"'([^']+)' not found.*: ([^:]+)$", text)
    return text.rstrip() + (did_you_mean([found[1]], re.findall(r"[\w.-]+", found[2])) if found else "")


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); s2s info estimates how much is needed".replace(" ()", "")
    # str() of a KeyError puts its text in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return in_shell_words(" ".join(text.split())) or type(error).__name__


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"s2s: warning: {in_shell_words(' '.join(str(message).split()))}", err=True)
