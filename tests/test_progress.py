import logging

from s2s_scverse._progress import Progress

PHASES = {"estimates": 4, "data": 1, "training": 10, "imputing": 5}


def test_lines_in_the_log(caplog):
    with caplog.at_level(logging.DEBUG, "s2s_scverse"), Progress(show=False, phases=PHASES) as progress:
        progress.begin("training", 3, done=1)
        progress.step("error 1")
        progress.step()
        progress.begin("data")
    lines = [(record.levelname, record.message) for record in caplog.records]
    assert lines == [
        ("INFO", "training ..."),
        ("DEBUG", "training: 2 of 3, error 1"),
        ("DEBUG", "training: 3 of 3"),
        ("DEBUG", "data ..."),
    ]


def test_one_bar_moves_from_0_to_100_percent(capsys):
    shown = []
    with Progress(show=True, phases=PHASES) as progress:
        progress.begin("estimates", 2)
        for _ in range(2):
            progress.step()
            shown.append(progress._bar.n)
        progress.begin("imputing", 2)  # nothing is trained
        shown.append(progress._bar.n)
        progress.step("a note")
        shown.append(progress._bar.n)
    assert shown == [10, 20, 75, 87.5]
    written = capsys.readouterr().err
    assert "a note" in written
    assert written.rsplit("\r", 1)[1].startswith("s2s: 100%")
    assert written.count("\n") == 1
    with Progress(show=True) as progress:
        progress.begin("draws", 4)
        progress.step()
        assert progress._bar.n == 25
