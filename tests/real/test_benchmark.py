"""benchmarks/ on real sections: frozen protocol, accuracy, time and memory; skips only where the data are absent."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

GOLDEN = json.loads(Path(__file__).with_name("benchmark.json").read_text())
SMALL = ("st_breast_layer1", "st_her2_breast_C4_he", "st_mouse_olfactory_bulb_rep11")
METHODS = ("linear", "kriging, no depth", "PCA kriging, no depth", "s2s")
USELESS = ("shuffled", "constant", "shifted", "another")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SMALL else pytest.mark.slow) for name in GOLDEN]
)
def test_masks_and_genes_are_frozen(benchmarks, name):
    import protocol

    protocol.check_files([name])
    assert protocol.digests(name) == GOLDEN[name]


def test_classical_methods_equal_an_independent_script(benchmarks):
    """PCC of an independent script on the olfactory bulb, stride 2, 200 genes."""
    import methods
    import metrics
    import protocol

    task = protocol.make_task("st_mouse_olfactory_bulb_rep11")
    assert (len(task.spots), len(task.sites), len(task.genes)) == (69, 193, 200)
    reference = {"inverse distance": 0.2180, "kriging, no depth": 0.2173, "PCA kriging, no depth": 0.2696}
    for method, expected in reference.items():
        mean = methods.METHODS[method](task.spots, task.values, task.sites, None, totals=task.totals)
        found = metrics.scores(task.truth, np.asarray(mean), None, task.values, task.pairs)
        assert found["pcc"].mean() == pytest.approx(expected, abs=0.006)
    assert task.ceiling.mean() == pytest.approx(0.750, abs=0.01)


def told(script, *options):
    """Output of a script."""
    return subprocess.run([sys.executable, script, *options], check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_better_than_kriging_and_an_independent_script_within_five_minutes_and_three_gigabytes(benchmarks, tmp_path):
    sections = ("--sections", "xenium_mouse_brain_ctxhp", "--preset", "default", "--results", tmp_path)
    told(benchmarks / "run.py", *sections, "--methods", *METHODS)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    pcc, rmse = ({method: float(rows[method][score]) for method in METHODS} for score in ("pcc", "rmse"))
    # Of an independent script.
    assert pcc["linear"] > 0.5805 - 0.005
    assert pcc["kriging, no depth"] > 0.6219 - 0.005
    assert pcc["PCA kriging, no depth"] > 0.6431 - 0.005
    assert pcc["s2s"] > max(0.62, *(pcc[method] for method in METHODS[:-1]))
    assert rmse["s2s"] < min(rmse[method] for method in METHODS[:-1])
    assert float(rows["s2s"]["seconds"]) < 300
    assert float(rows["s2s"]["gigabytes"]) < 3


@pytest.mark.slow
def test_the_image_helps_on_every_section_and_useless_covariates_do_no_harm(benchmarks):
    """Changes are in per cent of the result without covariates."""
    lines = []
    for options in (["image", "--seeds", "0", "1", "2"], USELESS):
        told_lines = told(benchmarks / "image.py", "--covariates", *options).splitlines()
        rows = [line.strip("| ") for line in told_lines if line.startswith("| ")]
        lines += rows[1:] if lines else rows
    table = pd.read_csv(io.StringIO("\n".join(lines)), sep=r"\s*\|\s*", engine="python")
    table[["gain", "RMSE"]] = table[["gain", "RMSE"]].apply(lambda column: column.str.rstrip(" %").astype(float))
    of = table.groupby("covariates")
    image = of.get_group("image")
    assert image["section"].nunique() == 8
    assert image["gain"].mean() > 10
    assert image["gain"].min() > 0
    assert image["RMSE"].max() < 0
    assert image["coverage"].between(0.88, 0.94).all()
    assert image["features CPU s"].max() < 3
    assert (image["CPU s with"] < 2 * image["CPU s"]).all()
    assert (of[["gain", "RMSE"]].mean().loc[list(USELESS)].abs() < 0.5).all(axis=None)
