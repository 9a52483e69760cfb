import logging

import pytest

from s2s_scverse._progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (45.4, "45 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (5400, "1.5 h"), (4e5, "111.1 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_phase_takes_as_much_of_the_bar_as_it_is_expected_to_take_time():
    with Progress({"maps": 10, "training": 30, "imputing": 60}, show=False) as progress:
        bar = progress._bar
        bar.disable, bar.n, bar.update = False, 0, lambda more: setattr(bar, "n", bar.n + more)
        bar.refresh = bar.close = lambda *_: None
        shown = []
        progress.begin("maps", 2)
        progress.step()
        shown.append(bar.n)
        progress.begin("training", 10, done=4)  # the second step of the maps was not needed
        shown.append(bar.n)
        for _ in range(6):
            progress.step()
        shown.append(bar.n)
        progress.begin("something else")
        progress.step()
        shown.append(bar.n)
        progress.begin("imputing", 3)
        progress.step()
        shown.append(bar.n)
    assert shown == pytest.approx([5, 22, 40, 40, 60])
    assert bar.n == pytest.approx(100)


def test_lines_in_the_log(caplog):
    with caplog.at_level(logging.INFO, "s2s_scverse"), Progress({"training": 80}, show=False) as progress:
        progress.begin("training", 8, done=1)
        for step in range(7):
            progress.step(f"error {step}")
        progress.begin("imputing", 2)
        progress.step()
    assert caplog.messages == [
        "training: about 70 s",
        "training: 2 of 8, error 0",
        "training: 4 of 8, error 2",
        "training: 6 of 8, error 4",
        "training: 8 of 8, error 6",
        "imputing: about 1 s",
    ]


def test_nothing_is_shown_unless_asked_for(capfd):
    for show in (False, True):
        with Progress({"training": 1}, show=show) as progress:
            progress.begin("training")
            progress.step()
        captured = capfd.readouterr()
        assert captured.out == ""
        assert bool(captured.err) == show


def test_a_failure_closes_the_bar_where_it_is(capfd):
    def fail():
        with Progress({"training": 4}, show=True) as progress:
            progress.begin("training", 4)
            progress.step()
            msg = "no"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="no"):
        fail()
    assert "100%" not in capfd.readouterr().err
