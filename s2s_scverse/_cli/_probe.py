"""Looking through a file or store before it is read, in a process of its own: run as a script it is that process.

HDF5 may crash, loop without end or ask for any amount of memory in a file that is broken, and so may what unpacks the
texts in a zarr store; nothing that runs in the same process can do anything about it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["Refused", "check_through", "check_unpacked", "look_through"]

SECONDS = 60.0
"""Time that looking through may take, besides 1 s for 100 MB: attributes, text and places of chunks, but no numbers."""
LARGE: Final = 2**30
"""Bytes that a dataset may unpack to from nothing."""
RATIO: Final = 2**15
"""A larger one may have so many times what is stored: equal numbers are packed to a ten thousandth."""
LARGEST_ATTRIBUTE: Final = 2**26
"""Bytes."""
TEXTS: Final = 10**5
"""Read at once."""
MEMORY: Final = 2**32
"""Bytes that looking through may take."""
REFUSED: Final = 3
"""Exit status."""


def check_through(path: Path) -> None:
    """Refuse what cannot be got through, wants other files to be read, or unpacks to what no memory holds.

    Raises
    ------
    Refused
        Saying why.
    """
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    allowed = SECONDS + 1e-8 * sum(each.stat().st_size for each in files)
    # -P: nothing that lies beside this file is imported.
    command = [sys.executable, "-P", __file__, str(path), f"{allowed + 1:.0f}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONINSPECT"}
    try:
        done = subprocess.run(  # noqa: S603
            command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=allowed, env=environment
        )
    except subprocess.TimeoutExpired:
        msg = f"it was not got through in {allowed:.0f} s; where its disk is slow, copy it to a faster one"
        raise Refused(msg) from None
    if done.returncode == REFUSED:
        raise Refused(done.stdout.decode(errors="replace"))
    if done.returncode:
        told = done.stderr.decode(errors="replace").splitlines()
        msg = f"what looked through it crashed ({told[-1] if told else f'exit status {done.returncode}'})"
        raise Refused(msg)


def check_unpacked(name: str, n_bytes: int, stored: int) -> None:
    """Refuse an array that unpacks to many times of what is there: that is all one value, and no measurement."""
    if n_bytes > max(LARGE, RATIO * stored):
        msg = f"{name} says that it has {n_bytes} bytes, but only {stored} are there; write the section without it"
        raise Refused(msg)


class Refused(ValueError):  # noqa: N818 - it is no error of ours
    """What is wrong with a file."""


def look_through(path: Path) -> str | None:
    """Read what is not numbers, and say what is wrong with it; errors are left to whoever reads it in earnest."""
    return _look_through_zarr(path) if path.is_dir() else _look_through_hdf5(path)


def _look_through_hdf5(path: Path) -> str | None:
    import h5py

    def linked(name: str, link: Any) -> str | None:
        return _elsewhere(name) if isinstance(link, h5py.ExternalLink) else None

    total = [0, 0]

    # What is raised in here does not arrive, what is returned does.
    def visit(name: str, found: Any) -> str | None:
        try:
            if isinstance(found, h5py.Dataset):
                if found.external or found.is_virtual:
                    return _elsewhere(name)
                _count(name, found.nbytes, found.id.get_storage_size(), total)
            _read_attributes(name, found.attrs)
            if isinstance(found, h5py.Dataset):
                _read_texts(found)
        except Refused as refused:
            return str(refused)
        except MemoryError:
            return f"{name} unpacks to more than {MEMORY} bytes"
        return None

    try:
        file = h5py.File(path, "r")
    except Exception:  # noqa: BLE001 - whoever reads it will tell what is wrong with it
        return None
    try:
        with file:
            return file.visititems_links(linked) or visit("/", file) or file.visititems(visit)
    except Exception as error:  # noqa: BLE001 - what was not looked at may be anything
        return f"it was not got through ({error})"


def _look_through_zarr(path: Path) -> str | None:
    import zarr

    with suppress(Exception):
        total = [0, 0]
        for name, array in _arrays(zarr.open_group(path, mode="r")):
            try:
                _count(name, array.nbytes, array.nbytes_stored(), total)
                if array.dtype.kind in "OTU":
                    for start in range(0, array.shape[0] if array.ndim else 1, TEXTS):
                        array[start : start + TEXTS] if array.ndim else array[()]
            except Refused as refused:
                return str(refused)
            except MemoryError:
                return f"{name} unpacks to more than {MEMORY} bytes"
            except Exception:  # noqa: BLE001, S112 - whoever needs it will tell what is wrong with it
                continue
    return None


def _arrays(group: Any) -> Iterator[tuple[str, Any]]:
    """All arrays of an AnnData, or of the tables of a SpatialData: its other elements are not read."""
    parts = [("", group)]
    if group.attrs.get("encoding-type") != "anndata":
        parts = [(name, part) for name, part in group.groups() if name in ("table", "tables")]
    for above, part in parts:
        for name, found in part.members(max_depth=None):
            if hasattr(found, "nbytes_stored"):
                yield f"{above}/{name}".strip("/"), found


def _count(name: str, n_bytes: int, stored: int, total: list[int]) -> None:
    """Refuse an array that unpacks to many times of what is there, and many that together do."""
    check_unpacked(name, n_bytes, stored)
    total[:] = total[0] + n_bytes, total[1] + stored
    check_unpacked("all together", *total)


def _read_attributes(name: str, attributes: Any) -> None:
    with suppress(UnicodeError, OSError, RuntimeError, TypeError, KeyError):  # whoever needs them will tell
        for key in attributes:
            found = attributes.get_id(key).get_storage_size()
            if found > LARGEST_ATTRIBUTE:
                msg = f"{name} {key} is an attribute of {found} bytes, more than {LARGEST_ATTRIBUTE}"
                raise Refused(msg)
            with suppress(UnicodeError, OSError, RuntimeError, TypeError, ValueError, KeyError):
                attributes[key]


def _read_texts(found: Any) -> None:
    with suppress(UnicodeError, OSError, RuntimeError, TypeError, KeyError):
        if found.chunks is not None:
            found.id.chunk_iter(lambda _: None)
        if found.dtype.hasobject:
            for start in range(0, len(found) if found.ndim else 1, TEXTS):
                found[start : start + TEXTS] if found.ndim else found[()]


def _elsewhere(name: str) -> str:
    return f"{name} is kept in another file, and that is not read"


def _limit(seconds: int) -> None:
    """Allow no more memory and, should whoever waits be killed, no more time; where the system can do that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    signal.alarm(seconds)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))


if __name__ == "__main__":
    _limit(int(sys.argv[2]))
    wrong = look_through(Path(sys.argv[1]))
    if wrong is not None:
        sys.stdout.buffer.write(wrong.encode(errors="surrogateescape"))
        sys.exit(REFUSED)
