from dataclasses import replace

import numpy as np
import pytest
import torch

import s2s_scverse as s2s
from s2s_scverse._train import find_device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_an_accelerator_gives_what_the_cpu_gives_up_to_rounding(section, quick, precision):
    arguments = quick | {"training": replace(quick["training"], precision=precision)}
    assert find_device("auto").type != "cpu"
    s2s.tl.impute(section, key_added="here", device="cpu", **arguments)
    s2s.tl.impute(section, key_added="there", device="auto", **arguments)
    here, there = section.layers["here"], section.layers["there"]
    # Training goes its own way after a few steps of other rounding.
    assert np.square(here - there).mean() < 0.01 * here.var()
    assert section.uns["s2s"]["there"]["history"]["validation"].notna().all()
