"""One progress bar for all phases of a run, and lines in the log."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

LONG: Final = 0.2  # part of a run from which a phase is a line of the log at level INFO; others are DEBUG
FORMAT: Final = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"


class Progress:
    """Progress in the log and, if `show`, a bar; `phases` are those that a run can have, with expected times."""

    def __init__(self, *, show: bool, phases: Mapping[str, float] = MappingProxyType({})) -> None:
        total = sum(phases.values())
        self._show, self._phase = show, ""
        self._bar: Any = None
        self._shares = {phase: time / total for phase, time in phases.items()}
        self._start, self._share, self._step, self._steps = 0.0, 0.0, 0, 1

    def __enter__(self) -> "Progress":
        if self._show:
            from tqdm.auto import tqdm

            self._bar = tqdm(desc="s2s", total=100, bar_format=FORMAT)
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if self._bar is not None:
            if failed is None:
                self._show_at(1.0, "s2s", "")
            self._bar.close()

    def begin(self, phase: str, steps: int = 1, *, done: int = 0) -> None:
        """Begin a phase, some of whose steps may have been done by an earlier run."""
        names = list(self._shares)
        before = names[: names.index(phase)] if phase in names else names
        self._start = sum(self._shares[name] for name in before)
        self._share = self._shares.get(phase, 1 - self._start)
        self._phase, self._step, self._steps = phase, done, max(steps, 1)
        log.log(logging.INFO if self._share >= LONG else logging.DEBUG, "%s ...", phase)
        self._update("")

    def step(self, note: str = "") -> None:
        """Count a step of the phase."""
        self._step += 1
        log.debug("%s: %d of %d%s", self._phase, self._step, self._steps, note and f", {note}")
        self._update(note)

    def after(self, result: T) -> T:
        """Count the step that this is the result of."""
        self.step()
        return result

    def _update(self, note: str) -> None:
        done = self._start + self._share * min(self._step / self._steps, 1.0)
        self._show_at(done, f"s2s, {self._phase}", note)

    def _show_at(self, done: float, description: str, note: str) -> None:
        if self._bar is not None:
            self._bar.set_description_str(description, refresh=False)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.n = max(self._bar.n, 100 * done)
            self._bar.refresh()


SILENT = Progress(show=False)  # reports to the log only
