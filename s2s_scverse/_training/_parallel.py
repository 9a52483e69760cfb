"""Training by several processes at once; starting them and talking between them is lightning's."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.utilities.seed import isolate_rng

from .._checks import check_int

__all__ = ["ALONE", "Parallel", "unchanged_process"]

STRATEGIES: Final = ("auto", "ddp")

_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Parallel:
    """How many processes train together; arguments of :class:`lightning.Trainer`.

    Raises
    ------
    ValueError
        If a number is not positive, or the strategy is none in which every process runs the whole script and holds the
        whole network; if several processes are asked for in an interactive session.
    TypeError
        If a number is no integer.
    """

    devices: int = 1
    """Processes per node, each with a device of its own."""
    num_nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes"):
            check_int(name, getattr(self, name), least=1)
        if self.strategy not in STRATEGIES:
            msg = (
                f"strategy must be 'auto' or 'ddp', found {self.strategy!r}: every process must run the whole script "
                "and hold the whole network, so that its result comes back to the caller"
            )
            raise ValueError(msg)
        if self.n_processes > 1 and (hasattr(sys, "ps1") or sys.flags.interactive):
            # Lightning would fork, and the result would stay in the forked process.
            msg = "several processes cannot be started from an interactive session; write a script, and run that"
            raise ValueError(msg)

    @property
    def n_processes(self) -> int:
        """On all nodes."""
        return self.devices * self.num_nodes

    @property
    def is_first(self) -> bool:
        """Whether this process is the first, or the only one."""
        return int(getattr(rank_zero_only, "rank", 0)) == 0

    def check(self, device: torch.device) -> None:
        """Refuse what cannot run here.

        Raises
        ------
        ValueError
            If the device is a single one by its number, or there are too few; if the script has trained by another
            number of processes, whose group is still open.
        """
        group = torch.distributed
        if (self.n_processes > 1 or self.strategy == "ddp") and group.is_available() and group.is_initialized():
            size = group.get_world_size()
            if size != self.n_processes:
                msg = f"{self.n_processes} processes are to train, but the process group of this script has {size}"
                raise ValueError(msg)
        if device.type == "cpu" or self.devices == 1:
            return
        if device.index is not None:
            msg = f"device {str(device)!r} is a single one, but devices is {self.devices}; pass {device.type!r}"
            raise ValueError(msg)
        there = torch.accelerator.device_count()
        if self.devices > there:
            msg = f"devices is {self.devices}, but this machine has {there} of the type {device.type!r}"
            raise ValueError(msg)


ALONE: Final = Parallel()


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Undo what lightning changes where several processes train: the number of threads and global random states.

    The process group stays open, and variables such as `LOCAL_RANK` stay set: lightning takes them up when the same
    script trains again.
    """
    threads, wanted = torch.get_num_threads(), os.environ.get(_THREADS)
    try:
        with isolate_rng(include_cuda=False):
            yield
    finally:
        if wanted is None:
            os.environ.pop(_THREADS, None)
        torch.set_num_threads(threads)
