"""Nothing in the package runs what a file holds."""

import ast
from pathlib import Path

import pytest

import s2s_scverse as s2s

PACKAGE = Path(s2s.__file__).parent
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "subprocess", "yaml"}
UNSAFE_CALLS = {"exec", "compile", "system", "popen", "extractall", "unpack_archive", "read_pickle"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_that_runs_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {name.split(".")[0] for name in names} & UNSAFE_MODULES
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called.split(".")[-1] not in UNSAFE_CALLS
            assert called not in ("eval", "__import__")
            arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert arguments.get("allow_pickle", "False") == "False"
            if called in ("torch.load", "trainer.fit"):
                assert arguments["weights_only"] == "True"
