"""Executes tutorials in place.

    python docs/execute.py [NAME ...]

``4_which_genes_to_trust`` is a name; without names, all are executed. ``$S2S_DATA_DIR`` and ``$S2S_CACHE_DIR`` hold the
sections, which are downloaded otherwise.
"""

import argparse
import os
from base64 import b64decode, b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from pictures import with_palette

TUTORIALS = Path(__file__).parents[1] / "tutorials"


def execute(path: Path) -> None:
    """Execute a notebook, and write it with smaller pictures and without times."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=1200, record_timing=False, resources=resources).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":  # without messages of other packages
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stdout"]
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                output["data"]["image/png"] = b64encode(with_palette(b64decode(png))).decode()
    nbformat.write(notebook, path)


def main() -> None:
    """Execute the tutorials that are named."""
    paths = {path.stem: path for path in sorted(TUTORIALS.glob("*.ipynb"))}
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # by tqdm, if there are no widgets
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *paths], metavar="NAME", help=", ".join(paths))
    for name in parser.parse_args().names or paths:
        execute(paths[name])
        print(paths[name], flush=True)


if __name__ == "__main__":
    main()
