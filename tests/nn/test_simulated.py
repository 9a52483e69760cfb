from dataclasses import replace

import pytest
import torch

from s2s_scverse.nn import CDCIN
from s2s_scverse.nn._simulated import SIMULATED, simulated_weights


def test_shipped_weights_fit_the_default_network_on_all_lattices_and_no_other():
    network = CDCIN(SIMULATED)
    untrained = network.stages[0].last.weight.clone()
    network.load_state_dict(simulated_weights(SIMULATED))
    assert not torch.equal(network.stages[0].last.weight, untrained)
    with pytest.raises(ValueError, match="shipped weights"):
        simulated_weights(replace(SIMULATED, stages=2))
