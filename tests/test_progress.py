import logging

from s2s_scverse._progress import Progress


def test_lines_in_the_log(caplog):
    with caplog.at_level(logging.INFO, "s2s_scverse"), Progress(show=False) as progress:
        progress.begin("training", 8, done=1)
        for step in range(7):
            progress.step(f"error {step}")
        progress.begin("imputing", 2)
        progress.step()
    assert caplog.messages == [
        "training",
        "training: 2 of 8, error 0",
        "training: 4 of 8, error 2",
        "training: 6 of 8, error 4",
        "training: 8 of 8, error 6",
        "imputing",
    ]
