"""Looking through an HDF5 file before it is read, in a process of its own: run as a script it is that process.

HDF5 itself may crash, loop without end or ask for any amount of memory in a file that is broken, and nothing that runs
in the same process can do anything about it.
"""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["Refused", "check_hdf5", "check_unpacked", "look_through"]

SECONDS = 60.0
"""Time that looking through may take, besides 1 s for 100 MB: attributes, text and places of chunks, but no numbers."""
LARGE: Final = 2**30
"""Bytes that a dataset may unpack to from nothing."""
RATIO: Final = 2000
"""A larger one may have so many times what is stored."""
LARGEST_ATTRIBUTE: Final = 2**26
"""Bytes."""
TEXTS: Final = 10**5
"""Read at once."""
REFUSED: Final = 3
"""Exit status."""


def check_hdf5(path: Path) -> None:
    """Refuse a file that HDF5 cannot get through, that wants others to be read, or unpacks to what no memory holds.

    Raises
    ------
    Refused
        Saying why.
    """
    allowed = SECONDS + 1e-8 * path.stat().st_size
    try:
        # -P: nothing that lies beside this file is imported.
        command = [sys.executable, "-P", __file__, str(path), f"{allowed + 1:.0f}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=allowed)  # noqa: S603
    except subprocess.TimeoutExpired:
        msg = f"HDF5 did not get through it in {allowed:.0f} s; where its disk is slow, copy it to a faster one"
        raise Refused(msg) from None
    if done.returncode:
        raise Refused(done.stdout if done.returncode == REFUSED else "HDF5 crashed when it looked through it")


def check_unpacked(name: str, n_bytes: int, stored: int) -> None:
    """Refuse an array that unpacks to many times of what is there: that is all one value, and no measurement."""
    if n_bytes > max(LARGE, RATIO * stored):
        msg = f"{name} says that it has {n_bytes} bytes, but only {stored} are there; write the section without it"
        raise Refused(msg)


class Refused(ValueError):  # noqa: N818 - it is no error of ours
    """What is wrong with a file."""


def look_through(path: str) -> str | None:
    """Read what is not numbers, and say what is wrong with it; errors are left to whoever reads it in earnest."""
    import h5py

    def linked(name: str, link: Any) -> str | None:
        return _elsewhere(name) if isinstance(link, h5py.ExternalLink) else None

    # What is raised in here does not arrive, what is returned does.
    def visit(name: str, found: Any) -> str | None:
        try:
            for key in found.attrs:
                _look_at_attribute(f"{name} {key}", found.attrs, key)
            if isinstance(found, h5py.Dataset):
                _look_at_dataset(name, found)
        except Refused as refused:
            return str(refused)
        except MemoryError:
            return f"{name} unpacks to many times the size of the file"
        except Exception:  # noqa: BLE001 - whoever needs it will tell what is wrong with it
            return None
        return None

    with suppress(Exception), h5py.File(path, "r") as file:
        return file.visititems_links(linked) or visit("/", file) or file.visititems(visit)
    return None


def _look_at_attribute(name: str, attributes: Any, key: str) -> None:
    found = attributes.get_id(key)
    if found.get_storage_size() > LARGEST_ATTRIBUTE:
        msg = f"{name} is an attribute of {found.get_storage_size()} bytes, more than {LARGEST_ATTRIBUTE}"
        raise Refused(msg)
    attributes[key]


def _look_at_dataset(name: str, found: Any) -> None:
    if found.external or found.is_virtual:
        raise Refused(_elsewhere(name))
    check_unpacked(name, found.nbytes, found.id.get_storage_size())
    if found.chunks is not None:
        found.id.chunk_iter(lambda _: None)
    if found.dtype.hasobject:
        for start in range(0, len(found) if found.ndim else 1, TEXTS):
            found[start : start + TEXTS] if found.ndim else found[()]


def _elsewhere(name: str) -> str:
    return f"{name} is kept in another file, and that is not read"


def _limit(path: str, seconds: int) -> None:
    """Allow memory of some times the file, and, should whoever waits be killed, no more time; where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    signal.alarm(seconds)
    most = 2**31 + 8 * Path(path).stat().st_size
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


if __name__ == "__main__":
    _limit(sys.argv[1], int(sys.argv[2]))
    wrong = look_through(sys.argv[1])
    sys.exit(None if wrong is None else sys.stdout.write(wrong) and REFUSED)
