import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
import torch

from s2s_scverse.nn import CDCIN, PRESETS, CDCINConfig
from s2s_scverse.nn._cdcin import SIMULATED, simulated_weights


def parameters(config):
    return sum(p.numel() for p in CDCIN(config).parameters() if p.requires_grad)


def test_numbers_of_parameters():
    network = CDCIN(PRESETS["paper"])
    assert [sum(p.numel() for p in stage.parameters()) for stage in network.stages] == [1_103_553] * 3
    assert parameters(PRESETS["paper"]) == 3_310_659
    assert PRESETS["paper"].in_channels == 1
    assert CDCINConfig() == PRESETS["default"] == CDCIN().config
    assert 15_000 < parameters(PRESETS["default"]) < 25_000
    assert PRESETS["default"].mask_channel
    assert PRESETS["default"].values_channel
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


def test_shipped_weights_fit_the_default_network_on_all_lattices_and_no_other():
    network = CDCIN(SIMULATED)
    untrained = network.stages[0].last.weight.clone()
    network.load_state_dict(simulated_weights(SIMULATED))
    assert not torch.equal(network.stages[0].last.weight, untrained)
    with pytest.raises(ValueError, match="shipped weights"):
        simulated_weights(replace(SIMULATED, stages=2))
