"""No loss of accuracy goes unnoticed: scores on a simulated section are what they were when golden.json was written."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
MOST = 0.005
"""Relative change of a mean score; threads and versions of torch and numpy changed it by .0007 at most."""
WORTH_OF_A_GENE = 0.03


@pytest.fixture(scope="module")
def golden():
    return json.loads((HERE / "golden.json").read_text())


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("golden", HERE / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dense(script):
    import torch

    torch.set_num_threads(1)
    adata = script.section()
    script.impute(adata)
    return adata


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


@pytest.fixture(scope="module")
def found(script, dense):
    return json.loads(json.dumps(script.scores(dense)))


def test_as_accurate_as_ever(found, golden):
    assert found.keys() == golden.keys()
    assert worse(found, golden) == []


def test_a_loss_of_one_percent_is_noticed(script, dense, golden):
    """Of correlation, by noise; or of squared error, which is 2 %."""
    layer, hidden = "network", dense.obs["s2s_held_out"].to_numpy()
    rng = np.random.default_rng(0)
    values = dense.layers[layer][hidden]
    noise = rng.normal(size=values.shape) * values.std(axis=0) * np.sqrt(1 / 0.99**2 - 1)
    other = dense.copy()
    other.layers[layer][hidden] += noise.astype(np.float32)
    changed = worse(json.loads(json.dumps(script.scores(other))), golden)
    assert f"pcc with measured, {layer}" in changed
    assert f"rmse with measured, {layer}" in changed
    assert all(name.endswith(f", {layer}") for name in changed)
