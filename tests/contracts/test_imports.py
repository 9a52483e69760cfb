"""The import rules of the design: data flows one way, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s2s_scverse

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(s2s_scverse.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NO_TORCH = ("_lattice", "_predict", "pp", "pl", "get")
NO_ANNDATA = ("nn", "_train", "_lattice", "_predict")
TORCH = {"torch", "lightning", "pytorch_lightning", "torchmetrics"}
ANNDATA = {"anndata", "scanpy", "squidpy", "spatialdata", "mudata"}


def imported(source: str, package: str) -> Iterator[tuple[str, bool, bool]]:
    """Absolute name of all that is imported, whether inside a function, and whether for type checkers alone."""

    def visit(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[tuple[str, bool, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, in_function, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem, in_function, for_types
            yield from ((f"{stem}.{alias.name}", in_function, for_types) for alias in node.names)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), in_function, for_types
        if isinstance(node, ast.If):
            guarded = for_types or ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"
            for child in node.body:
                yield from visit(child, in_function, guarded)
            for child in [node.test, *node.orelse]:
                yield from visit(child, in_function, for_types)
            return
        in_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, in_function, for_types)

    yield from visit(ast.parse(source), False, False)


def dotted(path: Path) -> str:
    """Name of the package that a module's relative imports start from."""
    return ".".join(["s2s_scverse", *path.relative_to(PACKAGE).parent.parts])


def part(path: Path) -> str:
    """First level below the package: `tl` of `tl/_impute.py`, `_cli` of `_cli.py`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def offences(parts: tuple[str, ...], forbidden: set[str], *, for_types_too: bool) -> list[str]:
    found = []
    for path in MODULES:
        if part(path) not in parts:
            continue
        for name, _, for_types in imported(path.read_text(encoding="utf-8"), dotted(path)):
            if name.split(".")[0] in forbidden and (for_types_too or not for_types):
                found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    return found


def loaded_by(code: str) -> set[str]:
    """Modules that a new interpreter has loaded after running some code."""
    code += "\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_parser_sees_every_kind_of_import() -> None:
    source = """
import a.b, c as d
from e import f
from . import g
from .h import i
from .. import j
from ..k.l import m
if TYPE_CHECKING:
    import n
else:
    import o
def function():
    import p
    lazy = lambda: importlib.import_module("q.r")
class Class:
    import s
    async def method(self):
        with x:
            from t import u
"""
    found = {name: (inside, types) for name, inside, types in imported(source, "s2s_scverse.x")}
    assert found == {
        "a.b": (False, False),
        "c": (False, False),
        "e": (False, False),
        "e.f": (False, False),
        "s2s_scverse.x": (False, False),
        "s2s_scverse.x.g": (False, False),
        "s2s_scverse.x.h": (False, False),
        "s2s_scverse.x.h.i": (False, False),
        "s2s_scverse": (False, False),
        "s2s_scverse.j": (False, False),
        "s2s_scverse.k.l": (False, False),
        "s2s_scverse.k.l.m": (False, False),
        "n": (False, True),
        "o": (False, False),
        "p": (True, False),
        "q.r": (True, False),
        "s": (False, False),
        "t": (True, False),
        "t.u": (True, False),
    }


@pytest.mark.parametrize("name", sorted({*NO_TORCH, *NO_ANNDATA, "tl"}))
def test_the_parts_that_rules_are_about_exist(name: str) -> None:
    assert (PACKAGE / name / "__init__.py").is_file()


def test_lattices_interpolation_and_anndata_layers_never_import_torch() -> None:
    assert offences(NO_TORCH, TORCH, for_types_too=True) == []
    torch_layers = tuple(f"s2s_scverse.{name}" for name in ("nn", "_train", "tl"))
    reached = offences(NO_TORCH, {"s2s_scverse"}, for_types_too=True)
    assert [offence for offence in reached if offence.split(" imports ")[1].startswith(torch_layers)] == []


def test_network_training_lattices_and_interpolation_never_import_anndata() -> None:
    assert offences(NO_ANNDATA, ANNDATA, for_types_too=True) == []
    anndata_layers = tuple(f"s2s_scverse.{name}" for name in ("pp", "tl", "pl", "get", "_section"))
    reached = offences(NO_ANNDATA, {"s2s_scverse"}, for_types_too=True)
    assert [offence for offence in reached if offence.split(" imports ")[1].startswith(anndata_layers)] == []


def test_lattices_and_interpolation_know_nothing_of_the_rest() -> None:
    allowed = {"_lattice": ("_lattice",), "_predict": ("_lattice", "_predict")}
    found = []
    for path in MODULES:
        if part(path) not in allowed:
            continue
        for name, _, _ in imported(path.read_text(encoding="utf-8"), dotted(path)):
            inner = name.split(".")[1:2] if name.startswith("s2s_scverse.") else []
            if inner and inner[0] not in allowed[part(path)]:
                found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert found == []


def test_only_tl_joins_torch_and_anndata_and_only_inside_functions() -> None:
    for path in MODULES:
        if part(path) in ("nn", "_train"):
            continue
        for name, in_function, for_types in imported(path.read_text(encoding="utf-8"), dotted(path)):
            if for_types:
                continue
            needs_torch = name.split(".")[0] in TORCH or name.startswith(("s2s_scverse.nn", "s2s_scverse._train"))
            if needs_torch:
                assert in_function, f"{path.relative_to(PACKAGE)} imports {name} outside a function"
                assert part(path) in ("tl", "_cli"), f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_lists_what_it_exports(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if ast.unparse(target) == "__all__"
    ]
    assert len(exported) == 1
    assert exported[0] is not None
    names = ast.literal_eval(exported[0])
    assert len(names) == len(set(names))
    assert all(not name.startswith("_") or name == "__version__" for name in names)


def test_no_star_imports() -> None:
    for path in MODULES:
        names = [name for name, _, _ in imported(path.read_text(encoding="utf-8"), dotted(path))]
        assert not [name for name in names if name.endswith(".*")], path


def test_import_of_the_package_is_light() -> None:
    heavy = {"torch", "lightning", "matplotlib.pyplot", "scanpy", "squidpy", "anndata", "skimage"}
    assert loaded_by("import s2s_scverse") & heavy == set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        *((name, TORCH | {"matplotlib.pyplot"}) for name in ("pp", "get", "tl", "datasets")),
        *((name, TORCH | ANNDATA | {"matplotlib.pyplot"}) for name in ("_lattice", "_predict")),
        ("pl", TORCH),
        ("nn", ANNDATA | {"matplotlib.pyplot"}),
    ],
)
def test_namespaces_load_only_what_they_need(module: str, absent: set[str]) -> None:
    assert loaded_by(f"import s2s_scverse.{module}") & absent == set()


def test_namespaces_load_on_first_use() -> None:
    loaded = loaded_by("import s2s_scverse as s2s; s2s.datasets.simulated_tissue")
    assert "s2s_scverse.datasets" in loaded
    assert "s2s_scverse.pp" not in loaded
    with pytest.raises(AttributeError, match="module 's2s_scverse' has no attribute 'plots'"):
        s2s_scverse.plots  # noqa: B018
    assert set(s2s_scverse.__all__) == set(dir(s2s_scverse))
