"""No loss of accuracy goes unnoticed: scores on a simulated section are what they were when golden.json was written."""

import json
import runpy
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MOST = 0.005
"""Relative change of a mean score; threads and versions of torch and numpy changed it by .0007 at most."""
WORTH_OF_A_GENE = 0.03


def worse(found, golden):
    """Names of scores that have changed by more than is allowed, for the better as well."""
    changed = []
    for name, expected in golden.items():
        if not isinstance(expected, dict):
            one, other = (np.array(each, float) for each in (found[name], expected))
            changed += [name] if np.nanmax(np.abs(one - other)) > WORTH_OF_A_GENE else []
            continue
        for method, values in expected.items():
            one, other = (np.array(each, float) for each in (found[name][method], values))
            of_mean = abs(np.nanmean(one) / np.nanmean(other) - 1) > MOST
            changed += [f"{name}, {method}"] if of_mean or np.nanmax(np.abs(one - other)) > WORTH_OF_A_GENE else []
    return changed


def test_as_accurate_as_ever():
    golden, script = json.loads((HERE / "golden.json").read_text()), runpy.run_path(HERE / "golden.py")
    dense = script["section"]()
    script["impute"](dense)
    found = json.loads(json.dumps(script["scores"](dense)))
    assert found.keys() == golden.keys()
    assert worse(found, golden) == []
