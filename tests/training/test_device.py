from dataclasses import replace

import pytest
import torch

from s2s_scverse._training import TRAINING_PRESETS, find_device
from s2s_scverse._training._device import use_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "capabilities", "expected"),
    [
        ("auto", {}, False),
        ("auto", {"avx512_f": True}, False),
        ("auto", {"avx512_bf16": True}, True),
        ("auto", {"amx_bf16": True}, True),
        ("32", {"avx512_bf16": True}, False),
        ("bf16", {}, True),
    ],
)
def test_bfloat16_where_the_processor_has_it(monkeypatch, precision, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert use_bf16(replace(TRAINING_PRESETS["default"], precision=precision), CPU) == expected


def test_devices_by_name():
    assert find_device("cpu") == CPU
    with pytest.raises(ValueError, match="device must be 'auto' or a torch device, found 'nope'"):
        find_device("nope")
    with pytest.raises(ValueError, match="device 'meta' is not available here"):
        find_device("meta")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")
def test_the_accelerator_is_found_and_imputes(section, quick):
    import numpy as np

    import s2s_scverse as s2s

    assert find_device("auto").type != "cpu"
    s2s.tl.impute(section, key_added="there", **quick)
    s2s.tl.impute(section, key_added="here", device="cpu", **quick)
    np.testing.assert_allclose(section.layers["there"], section.layers["here"], atol=0.3)
