"""The frozen protocol of benchmarks/: files, masks, genes, ceilings; skips only where the data are absent."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GOLDEN = json.loads(Path(__file__).with_name("benchmark.json").read_text())


@pytest.fixture(scope="module")
def protocol(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "S2S_DATA_DIR", str(data))
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        import protocol

        yield protocol


SMALL = ("st_breast_layer1", "st_her2_breast_C4_he", "st_mouse_olfactory_bulb_rep11")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SMALL else pytest.mark.slow) for name in GOLDEN]
)
def test_masks_and_genes_are_frozen(protocol, name):
    protocol.check_files([name])
    assert protocol.digests(name) == GOLDEN[name]


def test_classical_methods_equal_an_independent_script(protocol):
    """PCC of an independent script on the olfactory bulb, stride 2, 200 genes."""
    from methods import METHODS
    from metrics import scores

    task = protocol.make_task("st_mouse_olfactory_bulb_rep11")
    assert (len(task.spots), len(task.sites), len(task.genes)) == (69, 193, 200)
    reference = {"inverse distance": 0.2180, "kriging, no depth": 0.2173, "PCA kriging, no depth": 0.2696}
    for method, expected in reference.items():
        mean = METHODS[method](task.spots, task.values, task.sites, None, totals=task.totals)
        found = scores(task.truth, np.asarray(mean), None, task.values, task.pairs)
        assert found["pcc"].mean() == pytest.approx(expected, abs=0.006)
    assert task.ceiling.mean() == pytest.approx(0.750, abs=0.01)
