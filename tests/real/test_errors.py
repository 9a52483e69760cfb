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


@pytest.mark.parametrize("name", ["visium_breast_cancer_crop", "st_mouse_olfactory_bulb_rep11", "st_her2_breast_F1"])
def test_better_than_cokriging_and_honest(versus, name):
    _, _, _, gain, _, _, rmse, mae, coverage, width, off, agreement, *_ = versus(name)
    assert gain > 0.01
    assert rmse < 0
    assert mae < 0
    assert 0.87 < coverage < 0.93
    assert width < 1.03  # of intervals fitted to the truth
    assert abs(off) < 0.05
    if name.startswith("visium"):
        assert agreement > 0.8
    assert np.isfinite(agreement)
