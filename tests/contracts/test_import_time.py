"""Importing the package costs next to nothing for those who have imported anndata, as its users have."""

import json
import statistics
import subprocess
import sys

HEAVY = {"torch", "lightning", "scanpy", "dask", "matplotlib.pyplot"}
LIMIT = 0.1  # seconds
REPEATS = 5


def imported(*statements: str) -> list[tuple[float, set[str]]]:
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


def test_import_after_anndata_takes_less_than_a_tenth_of_a_second() -> None:
    imported("import anndata, s2s_scverse")  # bytecode is compiled by now
    seconds = [imported("import anndata", "import s2s_scverse")[1][0] for _ in range(REPEATS)]
    assert statistics.median(seconds) < LIMIT, seconds


def test_import_after_anndata_loads_nothing_heavy() -> None:
    (_, anndata), (_, own) = imported("import anndata", "import s2s_scverse")
    assert "anndata" in anndata
    assert "s2s_scverse" in own
    assert own & HEAVY == set()


def test_namespaces_load_nothing_heavy_after_anndata() -> None:
    code = "import s2s_scverse as s2s; s2s.pp, s2s.tl, s2s.get, s2s.datasets, s2s.pl"
    (_, before), (_, own) = imported("import anndata", code)
    assert {"s2s_scverse.pp", "s2s_scverse.tl", "s2s_scverse.pl"} <= own
    assert own & HEAVY - before == set()


def test_scores_would_notice_a_slow_import() -> None:
    (fast, _), (slow, _) = imported("pass", "sum(range(20_000_000))")
    assert fast < LIMIT < slow
