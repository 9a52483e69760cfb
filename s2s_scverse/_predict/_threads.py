"""Parallel fits in threads with one BLAS thread each."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

__all__ = ["one_thread", "parallel", "thread_count"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Apply a function to every item, in as many threads as BLAS may use; nested calls are serial."""
    items = list(items)
    threads = min(thread_count(), len(items))
    if threads <= 1:
        return [function(item) for item in items]
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def thread_count() -> int:
    """Return in how many threads BLAS may compute."""
    return max((each["num_threads"] for each in _controller().info() if each["user_api"] == "blas"), default=1)


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread: eigendecompositions synchronise threads at every column, slow on busy cores."""
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
