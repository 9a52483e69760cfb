"""Coverage-guided fuzzing of everything that reads a file, with atheris (``pip install atheris``); by hand.

``python guided.py TARGET SECONDS FOLDER`` with some of the names in TARGETS of fuzz.py, or ``all``. Files are changed
as fuzz.py does, but what it draws is the input of libFuzzer, which keeps whatever reaches new code of this package, or
of what it reads with. It sees Python only; fuzz.py reads more inputs, and goes on after a crash. Ends with 1 if
anything went wrong; the input is then in FOLDER.
"""

import io
import json
import os
import resource
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import atheris
import torch
from torch._weights_only_unpickler import Unpickler

READERS = ["s2s_scverse", "anndata", "zarr", "zipfile", "scanpy.readwrite"]
READERS += ["lightning.pytorch", "PIL", "tifffile", "imageio", "skimage.io"]

for name in [name for name in sys.modules if name.split(".")[0] == "zipfile"]:
    del sys.modules[name]
with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=READERS):
    import fuzz
Unpickler.load = atheris.instrument_func(Unpickler.load)


class Chosen:
    """Draws what libFuzzer chooses; the methods of a numpy Generator that fuzz.change calls."""

    def __init__(self, data: bytes) -> None:
        self._data = atheris.FuzzedDataProvider(data)

    def integers(self, low: int, high: int | None = None) -> int:
        """Draw one, below `high`."""
        low, high = (0, low) if high is None else (low, high)
        return self._data.ConsumeIntInRange(low, high - 1)

    def random(self) -> float:
        """Draw a number from 0 to 1."""
        return self._data.ConsumeProbability()

    def uniform(self, low: float, high: float) -> float:
        """Draw a number within bounds."""
        return self._data.ConsumeFloatInRange(low, high)

    def bytes(self, length: int) -> bytes:
        """Draw some bytes."""
        return self._data.ConsumeBytes(length).ljust(length, b"\0")

    def choice(self, these: list[int]) -> int:
        """Draw one of these."""
        return these[self.integers(len(these))]


def run(target: str, seconds: float, kept: Path) -> NoReturn:
    """Fuzz one target in this process, and end it."""
    resource.setrlimit(resource.RLIMIT_DATA, (fuzz.BYTES, fuzz.BYTES))
    folder = kept / target / "files"
    folder.mkdir(parents=True)
    read = fuzz.TARGETS[target](folder)
    right = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    inputs, count, begun = kept / target / "inputs", 0, time.monotonic()

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        fuzz.lay(folder, fuzz.change(right, Chosen(data)) if data else right)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except Exception as error:
            if not fuzz.refused(error):
                raise
        finally:
            inputs.write_text(json.dumps({"target": target, "inputs": count, "seconds": time.monotonic() - begun}))

    options = {
        "max_total_time": int(seconds),
        "timeout": 20,
        "rss_limit_mb": fuzz.BYTES // 2**21,
        "max_len": 512,
        "len_control": 0,
    }
    atheris.Setup(
        [sys.argv[0], f"-artifact_prefix={kept / target}/", *(f"-{name}={value}" for name, value in options.items())],
        one,
    )
    atheris.Fuzz()
    raise SystemExit


def told(target: str, status: int, kept: Path) -> dict[str, Any]:
    """What came of one target."""
    inputs, lines = kept / target / "inputs", (kept / target / "log").read_text(errors="replace").splitlines()
    found = json.loads(inputs.read_text()) if inputs.exists() else {"target": target}
    found["last"] = [line for line in lines if " cov: " in line][-1:]
    return found | ({"wrong": lines[-40:], "status": status} if status else {})


def main() -> int:
    """Fuzz each target in a process of its own: instrumenting takes a minute, so that is done once."""
    which, seconds, kept = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    failed = 0
    for target in fuzz.TARGETS if which == "all" else which.split(","):
        (kept / target).mkdir(parents=True)
        process = os.fork()
        if not process:
            log = os.open(kept / target / "log", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            run(target, seconds, kept)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        failed |= status != 0
        sys.stdout.write(json.dumps(told(target, status, kept)) + "\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
