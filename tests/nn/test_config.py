import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

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


def test_hexagonal_kernels_keep_the_parameter_count():
    assert parameters(CDCINConfig(hexagonal=True)) == parameters(CDCINConfig())


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


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        pytest.param({"stages": 0}, ValueError, "stages must be at least 1, found 0", id="no stage"),
        pytest.param(
            {"context_channels": -1}, ValueError, "context_channels must be at least 0", id="negative context"
        ),
        pytest.param({"layers": 2.0}, TypeError, "layers must be an integer, found 2.0", id="float"),
        pytest.param({"stages": True}, TypeError, "stages must be an integer, found True", id="bool for int"),
        pytest.param({"mask_channel": 1}, TypeError, "mask_channel must be True or False, found 1", id="int for bool"),
        pytest.param({"noise_level": 0}, ValueError, "noise_level must be positive and finite", id="zero noise"),
        pytest.param({"noise_level": float("nan")}, ValueError, "noise_level must be positive", id="nan noise"),
        pytest.param({"conv_scale": "1"}, TypeError, "conv_scale must be a number, found '1'", id="text for number"),
        pytest.param({"consistency": "hard"}, ValueError, "one of 'exact', 'noisy', 'off', found 'hard'", id="mode"),
        pytest.param({"attention": True, "heads": 5}, ValueError, "multiple of heads, found 16 and 5", id="heads"),
        pytest.param({"attention": True, "conv_squeeze": 64}, ValueError, "conv_squeeze must be at most", id="squeeze"),
    ],
)
def test_bad_fields(change, error, match):
    with pytest.raises(error, match=match):
        replace(CDCINConfig(), **change)


def test_heads_do_not_matter_without_attention():
    assert CDCINConfig(heads=5).heads == 5
