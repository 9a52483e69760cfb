"""Threads take turns."""

import os
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import ParamSpec, TypeVar

__all__ = ["taking_turns"]

P = ParamSpec("P")
T = TypeVar("T")

_turn = RLock()


def _renew() -> None:
    """In a forked process no thread is left that would release it."""
    global _turn  # noqa: PLW0603
    _turn = RLock()


os.register_at_fork(after_in_child=_renew)


def taking_turns(function: Callable[P, T]) -> Callable[P, T]:
    """Let one thread of the process at a time call any of the functions that are decorated so.

    Random numbers of torch, filters of warnings and loggers belong to the process; so does the number of threads of
    BLAS, which is changed for a while, and on which it depends how sums are rounded.
    """

    @wraps(function)
    def call(*arguments: P.args, **more: P.kwargs) -> T:
        with _turn:
            return function(*arguments, **more)

    return call
