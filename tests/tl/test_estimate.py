import logging
from dataclasses import replace

import pytest

import s2s_scverse as s2s
from s2s_scverse.nn import PRESETS
from s2s_scverse.tl import TRAINING_PRESETS
from s2s_scverse.tl._estimate import Size, estimate

DEFAULT = (PRESETS["default"], TRAINING_PRESETS["default"])


@pytest.mark.parametrize(
    ("size", "genes", "seconds", "gigabytes"),
    [  # the last of benchmarks/speed.py, the others of the calls that the constants were fitted to
        (Size(69, 268), 1000, 14.5, 0.75),
        (Size(671, 2716), 1000, 40.7, 1.24),
        (Size(1353, 5542), 248, 47.2, 1.35),
        (Size(4986, 19861), 18_000, 422.0, 5.63),
    ],
)
def test_measured_runs(size, genes, seconds, gigabytes):
    found = estimate([size], genes, *DEFAULT, errors=True)
    assert found.seconds == pytest.approx(seconds, rel=0.3)
    assert found.gigabytes == pytest.approx(gigabytes, rel=0.3)


def test_what_it_grows_with():
    one = estimate([Size(1000, 4000)], 1000, *DEFAULT, errors=True)
    two = estimate([Size(1000, 4000)] * 2, 1000, *DEFAULT, errors=True)
    assert two.phases["training"] == one.phases["training"]  # one network
    assert two.phases["starting maps"] == 2 * one.phases["starting maps"]
    more = estimate([Size(1000, 4000)], 11_000, *DEFAULT, errors=True)
    assert more.seconds - one.seconds == pytest.approx(10_000 * 4000e-6)
    assert estimate([Size(1000, 4000)], 1000, *DEFAULT, errors=False).gigabytes < one.gigabytes
    longer = replace(DEFAULT[1], max_epochs=80)
    slow = estimate([Size(1000, 4000)], 1000, DEFAULT[0], longer, errors=True)
    assert slow.phases["training"] == 2 * one.phases["training"]
    paper = estimate([Size(1000, 4000)], 1000, PRESETS["paper"], TRAINING_PRESETS["paper"], errors=True)
    assert paper.seconds > 1e5


def test_the_phases_are_those_of_a_run(section, quick, caplog):
    with caplog.at_level(logging.INFO, "s2s_scverse"):
        s2s.tl.impute(section, **quick)
    expected = estimate([Size(10, 20)], 2, *DEFAULT, errors=True)
    begun = [message.split(":")[0] for message in caplog.messages if ": about " in message]
    assert begun == list(expected.phases)
    told = next(message for message in caplog.messages if message.endswith(" GB"))
    spots = int(section.obs["s2s_measured"].sum())
    assert told.startswith(f"{spots} spots, {section.n_obs - spots} sites to impute, {section.n_vars} genes; about ")
