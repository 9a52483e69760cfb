"""One progress bar for all phases of a run, and lines in the log for each."""

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["SILENT", "Progress", "duration"]

log = logging.getLogger(__name__)

T = TypeVar("T")

QUARTERS = 4
"""Lines in the log for a phase of many steps."""


class Progress:
    """A bar in which a phase takes as much room as it is expected to take time.

    Parameters
    ----------
    seconds
        Phases in their order, and how long each will take, about.
    show
        Whether there is a bar; lines go to the log in any case.
    """

    def __init__(self, seconds: Mapping[str, float], *, show: bool) -> None:
        self._seconds, self._show = dict(seconds), show
        self._bar: Any = None
        self._phase, self._step, self._steps = "", 0, 1

    def __enter__(self) -> "Progress":
        from tqdm.auto import tqdm

        total = sum(self._seconds.values())
        bar = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self._bar = tqdm(total=total, desc="s2s", bar_format=bar, disable=not self._show, leave=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.update(self._bar.total - self._bar.n)
        self._bar.close()

    def begin(self, phase: str, steps: int = 1, *, done: int = 0) -> None:
        """Begin a phase, of whose steps some were done in an earlier run."""
        self._phase, self._step, self._steps = phase, done, max(steps, 1)
        names = list(self._seconds)
        left = self._seconds.get(phase, 0.0) * (1 - done / self._steps)
        log.info("%s: about %s", phase, duration(left))
        if self._bar is not None and phase in self._seconds:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.set_description_str(f"s2s, {phase}")
            before = sum(self._seconds[name] for name in names[: names.index(phase)])
            self._bar.update(max(0.0, before + self._seconds[phase] - left - self._bar.n))

    def step(self, note: str = "") -> None:
        """Count a step of the phase."""
        self._step += 1
        line = self._steps >= QUARTERS and self._step * QUARTERS // self._steps
        if line and line != (self._step - 1) * QUARTERS // self._steps:
            log.info("%s: %d of %d%s", self._phase, self._step, self._steps, note and f", {note}")
        if self._bar is not None:
            done = f"{self._step}/{self._steps}"
            self._bar.set_postfix_str(f"{done}, {note}" if note else done)
            self._bar.update(self._seconds.get(self._phase, 0.0) / self._steps)

    def after(self, result: T) -> T:
        """Count the step that this is the result of."""
        self.step()
        return result


SILENT = Progress({}, show=False)
"""Of callers that show nothing."""


def duration(seconds: float) -> str:
    """Describe a time in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
