"""A file that HDF5 can close even where there is no more room for it."""

import errno
import io
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Final

__all__ = ["Disk"]


STOPPED_BY: Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Disk(io.RawIOBase):
    """A new file; once writing has failed, what is still written goes to memory, and the error is raised in the end.

    HDF5 cannot close what it cannot flush: h5py then prints hundreds of lines, and the process ends with a segmentation
    fault. So it is told of no error, and whoever writes is to :meth:`check` before each dataset. Ctrl-C and the like
    must not break in either: they wait for that, too.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    OSError
        What went wrong first, when a ``with`` statement is left.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._at = 0
        self._error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []
        self._handlers: dict[int, Any] = {}
        self._signal: int | None = None

    def readable(self) -> bool:
        """HDF5 reads what it has written."""
        return True

    def writable(self) -> bool:
        """It is written."""
        return True

    def seekable(self) -> bool:
        """In any order."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        ends = (first + len(data) for first, data in self._kept)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}
        end = max(os.fstat(self._file).st_size, *ends, 0) if whence == os.SEEK_END else start[whence]
        self._at = end + offset
        return self._at

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += os.pwrite(self._file, view[written:], self._at + written)
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._kept.append((self._at, bytes(view)))
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read what was written; zeros where nothing was."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self._file, len(view), self._at)
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        for first, data in self._kept:
            start, stop = max(first, self._at), min(first + len(data), self._at + len(view))
            if start < stop:
                view[start - self._at : stop - self._at] = data[start - first : stop - first]
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut it; one that could not be written is of no use anyway."""
        size = self._at if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._file, size)
            except OSError as error:
                self._error = error
        return size

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._file)
        super().close()

    def __enter__(self) -> "Disk":
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in STOPPED_BY if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._handlers = {number: signal.signal(number, self._stop) for number in heeded}
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._signal is not None:
            signal.raise_signal(self._signal)
        self.check()

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Do not raise inside HDF5: end as after an error, and let the signal do then what it does."""
        self._signal = number
        self._error = self._error or InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
