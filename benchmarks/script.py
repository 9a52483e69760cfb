"""What scripts share: the command line and tables of Markdown."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Collection, Sequence

import numpy as np
from protocol import SECTIONS


def parser(doc: str | None, sections: Collection[str] = SECTIONS, default: Sequence[str] = ()) -> ArgumentParser:
    """Command line of a script that is described by `doc` and runs on some of the sections."""
    found = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    found.add_argument("--sections", nargs="+", choices=sections, default=default or list(sections))
    return found


def print_header(columns: str) -> None:
    """Print the head of a table of Markdown."""
    print(f"| {columns} |\n|{'---|' * len(columns.split(' | '))}", flush=True)


def print_row(*cells: object, digits: str = ".3f") -> None:
    texts = (format(cell, digits) if isinstance(cell, float | np.floating) else str(cell) for cell in cells)
    print(f"| {' | '.join(texts)} |", flush=True)
