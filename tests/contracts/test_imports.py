"""The import rules of the design: data flows one way, and importing the package costs next to nothing."""

import ast
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import s2s_scverse

PACKAGE = Path(s2s_scverse.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_TORCH = ("_lattice", "_predict", "_uncertainty", "_image", "pp", "pl", "get")
NO_ANNDATA = ("nn", "_train", "_lattice", "_predict", "_uncertainty", "_image")
TORCH = {"torch", "lightning", "pytorch_lightning", "torchmetrics"}
ANNDATA = {"anndata", "scanpy", "squidpy", "spatialdata", "mudata"}
RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "subprocess", "yaml"}
LIMIT = 0.1  # seconds


def part(path):
    """First level below the package: `tl` of `tl/_impute.py`, `_cli` of `_cli.py`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Absolute names of all that a module imports, also inside functions and for type checkers."""
    package = ["s2s_scverse", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def offences(parts, forbidden):
    """Imports by modules of some parts of packages, or parts of ours, that they must not know."""
    assert all((PACKAGE / name / "__init__.py").is_file() for name in parts)
    names = {name if name in TORCH | ANNDATA else f"s2s_scverse.{name}" for name in forbidden}
    return [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in MODULES
        if part(path) in parts
        for name in imported(path)
        if {name.split(".")[0], ".".join(name.split(".")[:2])} & names
    ]


def test_parts_know_only_what_they_need():
    every = {part(path) for path in MODULES} - {"__init__"}
    assert offences(NO_TORCH, TORCH | {"nn", "_train", "tl"}) == []
    assert offences(NO_ANNDATA, ANNDATA | {"pp", "tl", "pl", "get", "_adata"}) == []
    assert offences(("_lattice",), every - {"_lattice"}) == []
    assert offences(("_predict",), every - {"_lattice", "_predict"}) == []


def test_nothing_runs_what_a_file_holds():
    """Ruff's rules S refuse eval, exec, shells and archives that leave their folder."""
    assert not [name for path in MODULES for name in imported(path) if name.split(".")[0] in RUNS_CODE]
    calls = [node for path in MODULES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    loads = [ast.unparse(node) for node in calls if ast.unparse(node.func) in ("torch.load", "trainer.fit")]
    assert len(loads) == 2
    assert all("weights_only=True" in call for call in loads)
    assert not [node for node in calls if "allow_pickle=True" in ast.unparse(node)]


def run(*statements):
    """Run statements one after another in a new interpreter: processor seconds of each, and the modules it loaded."""
    code = f"""
import json, sys, time
found = []
for statement in {list(statements)!r}:
    before, start = set(sys.modules), time.process_time()
    exec(statement)
    found.append((time.process_time() - start, sorted(set(sys.modules) - before)))
print(json.dumps(found))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [(seconds, set(modules)) for seconds, modules in json.loads(out.stdout)]


def test_import_after_anndata_takes_less_than_a_tenth_of_a_second_and_loads_nothing_heavy():
    heavy = {*TORCH, "scanpy", "dask", "matplotlib.pyplot"}
    code = "s2s.pp, s2s.tl, s2s.get, s2s.datasets, s2s.pl"
    seconds = [run("import anndata", "import s2s_scverse as s2s")[1][0] for _ in range(2)]
    (_, anndata), (lasted, own), (_, spaces) = run("import anndata", "import s2s_scverse as s2s", code)
    seconds.append(lasted)
    assert statistics.median(seconds) < LIMIT, seconds
    assert {"s2s_scverse.pp", "s2s_scverse.tl", "s2s_scverse.pl"} <= spaces
    assert (own | spaces) & heavy - anndata == set()


def test_namespaces_load_only_what_they_need_and_on_first_use():
    (_, package), (_, first), (_, numpy), (_, spaces), (_, plots) = run(
        "import s2s_scverse as s2s",
        "s2s.datasets.simulated_tissue",
        "import s2s_scverse._lattice, s2s_scverse._predict",
        "s2s.pp, s2s.get, s2s.tl",
        "s2s.pl",
    )
    assert package & {*TORCH, *ANNDATA, "matplotlib.pyplot", "skimage"} == set()
    assert "s2s_scverse.datasets" in first
    assert "s2s_scverse.pp" not in first
    assert (numpy - first) & {*TORCH, *ANNDATA} == set()
    assert (package | first | numpy | spaces) & {*TORCH, "matplotlib.pyplot"} == set()
    assert plots & TORCH == set()
    ((_, network),) = run("import s2s_scverse.nn")
    assert network & {*ANNDATA, "matplotlib.pyplot"} == set()
    ((_, command_line),) = run("import s2s_scverse._cli")
    assert command_line & {*TORCH, *ANNDATA, "matplotlib", "pandas"} == set()
    with pytest.raises(AttributeError, match="module 's2s_scverse' has no attribute 'plots'"):
        s2s_scverse.plots  # noqa: B018
    assert set(s2s_scverse.__all__) == set(dir(s2s_scverse))
