"""What is said of errors on real sections, and co-kriging beaten; skips only where the data are absent."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def versus(data):
    """Rows of benchmarks/versus_cokriging.py, as numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "S2S_DATA_DIR", str(data))
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        import versus_cokriging

        yield lambda name: versus_cokriging.rows(name, [0], None, "default")[0][1]


SECTIONS = ["visium_breast_cancer_crop", "st_mouse_olfactory_bulb_rep11", "st_her2_breast_F1"]


@pytest.fixture(scope="module")
def scored(versus):
    return {name: versus(name) for name in SECTIONS}


@pytest.mark.parametrize("name", SECTIONS)
def test_better_than_cokriging_and_honest(scored, name):
    _, _, _, gain, _, _, rmse, mae, coverage, _, off, agreement, *_ = scored[name]
    assert gain > 0.01
    assert rmse < 0
    assert mae < 0
    assert 0.87 < coverage < 0.93
    assert abs(off) < 0.05
    if name.startswith("visium"):
        assert agreement > 0.8
    assert np.isfinite(agreement)


def test_intervals_are_narrower_than_those_of_cokriging_on_average(scored):
    # The latter are fitted to the truth, at the same coverage.
    widths = [width for _, _, _, _, _, _, _, _, _, width, *_ in scored.values()]
    assert np.mean(widths) < 1
