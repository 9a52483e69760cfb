"""Other packages, each run by a script of its own in an environment of its own.

A script reads ``spots``, ``values``, ``sites``, ``totals`` and, with an image, ``covariates_spots`` and
``covariates_sites`` from an npz file, and writes ``mean``, ``std`` (if the package gives it) and its cost to another.
Environments are made when first needed, from pinned versions, in ``$S2S_RIVALS`` (else ``~/.cache/s2s_rivals``).
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LIMIT", "RIVALS", "NotFinishedError", "Rival", "environment", "run_rival"]

HERE = Path(__file__).parent
LIMIT = 1200
"""CPU seconds after which a script is stopped."""


class NotFinishedError(RuntimeError):
    """A script took more than `LIMIT` CPU seconds."""


@dataclass(frozen=True)
class Rival:
    """A script of this folder with its arguments, and what it needs."""

    script: str
    arguments: tuple[str, ...] = ()
    guided: bool = False
    """Whether it needs an image."""
    requirements: str = ""
    """Name of the requirements file, and of the environment."""


RIVALS = {
    "GSTools kriging": Rival("gstools_kriging.py", requirements="gstools"),
    "GSTools, image as drift": Rival("gstools_kriging.py", ("--drift",), True, "gstools"),
    "GPBoost": Rival("gpboost_components.py", requirements="gpboost"),
    "GPBoost, image linear": Rival("gpboost_components.py", ("--linear",), True, "gpboost"),
    "GPBoost, image in trees": Rival("gpboost_components.py", ("--trees",), True, "gpboost"),
    "MEFISTO": Rival("mefisto.py", requirements="mofapy2"),
}


def environment(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is missing."""
    folder = Path(os.environ.get("S2S_RIVALS", Path.home() / ".cache/s2s_rivals")) / name
    python, ready = folder / "bin/python", folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)  # noqa: S603
        requirements = HERE / f"requirements-{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)  # noqa: S603
        ready.touch()
    return python


def run_rival(
    name: str, spots: Any, values: Any, sites: Any, covariates: Any, *, totals: Any
) -> tuple[np.ndarray, np.ndarray | None, dict[str, float]]:
    """Return mean and standard deviation at the sites, and CPU seconds, seconds and GB of the script."""
    rival = RIVALS[name]
    inputs = {"spots": spots, "values": values, "sites": sites, "totals": totals}
    if covariates is not None:
        inputs |= dict(zip(("covariates_spots", "covariates_sites"), covariates, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder, "task.npz"), Path(folder, "answer.npz")
        np.savez(given, **inputs)
        command = [environment(rival.requirements), HERE / rival.script, given, answer, *rival.arguments]
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        told = subprocess.run(  # noqa: S603
            command, env=clean, capture_output=True, text=True, check=False, preexec_fn=_limit
        )
        if told.returncode == -signal.SIGXCPU:
            raise NotFinishedError(name)
        if told.returncode:
            msg = f"{name}: {told.stderr.strip()[-500:]}"
            raise RuntimeError(msg)
        with np.load(answer) as found:
            return (
                found["mean"],
                found.get("std"),
                {key: float(found[key]) for key in ("cpu_seconds", "seconds", "gigabytes")},
            )


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 10))
