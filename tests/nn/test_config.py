import json
from dataclasses import FrozenInstanceError, asdict, fields

import pytest

from s2s_scverse.nn import CDCIN, PRESETS, CDCINConfig


def parameters(config):
    return sum(p.numel() for p in CDCIN(config).parameters() if p.requires_grad)


def test_paper_has_the_published_number_of_parameters():
    network = CDCIN(PRESETS["paper"])
    assert [sum(p.numel() for p in stage.parameters()) for stage in network.stages] == [1_103_553] * 3
    assert parameters(PRESETS["paper"]) == 3_310_659
    assert PRESETS["paper"].in_channels == 1


def test_default_is_light_and_is_the_default():
    assert CDCINConfig() == PRESETS["default"] == CDCIN().config
    assert 15_000 < parameters(PRESETS["default"]) < 25_000
    assert PRESETS["default"].mask_channel
    assert PRESETS["default"].values_channel


def test_shared_stages_have_one_set_of_weights():
    separate = parameters(CDCINConfig(stages=3))
    assert parameters(CDCINConfig(stages=3, share_stages=True)) == separate // 3


@pytest.mark.parametrize("name", list(PRESETS))
def test_json_round_trip(name):
    stored = json.loads(json.dumps(asdict(PRESETS[name])))
    assert CDCINConfig(**stored) == PRESETS[name]
    assert all(type(value) in (int, float, str, bool) for value in stored.values())
    assert len(stored) == len(fields(CDCINConfig))


def test_presets_and_configs_are_read_only():
    with pytest.raises(FrozenInstanceError, match="stages"):
        PRESETS["paper"].stages = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        PRESETS["paper"] = CDCINConfig()
