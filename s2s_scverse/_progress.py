"""A progress bar that every phase of a run fills once, and lines in the log."""

import logging
from typing import Any, TypeVar

__all__ = ["SILENT", "Progress"]

log = logging.getLogger(__name__)

T = TypeVar("T")

QUARTERS = 4
"""Lines in the log for a phase of many steps."""


class Progress:
    """Progress reporter; lines go to the log whether or not the bar is shown."""

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._bar: Any = None
        self._phase, self._step, self._steps = "", 0, 1

    def __enter__(self) -> "Progress":
        from tqdm.auto import tqdm

        self._bar = tqdm(desc="s2s", disable=not self._show)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin(self, phase: str, steps: int = 1, *, done: int = 0) -> None:
        """Begin a phase, some of whose steps may have been done by an earlier run."""
        self._phase, self._step, self._steps = phase, done, max(steps, 1)
        log.info("%s", phase)
        if self._bar is not None:
            self._bar.set_postfix_str("", refresh=False)
            self._bar.set_description_str(f"s2s, {phase}", refresh=False)
            self._bar.reset(total=self._steps)
            self._bar.update(done)

    def step(self, note: str = "") -> None:
        """Count a step of the phase."""
        self._step += 1
        before, after = ((step * QUARTERS) // self._steps for step in (self._step - 1, self._step))
        if self._steps >= QUARTERS and after > before:
            log.info("%s: %d of %d%s", self._phase, self._step, self._steps, note and f", {note}")
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()

    def after(self, result: T) -> T:
        """Count the step that this is the result of."""
        self.step()
        return result


SILENT = Progress(show=False)
"""Reports to the log only."""
