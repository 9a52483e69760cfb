"""What all scripts of this folder share: the command line, the input, the cost. Needs numpy alone."""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def answer(predict: Callable[..., Any], *flags: str) -> None:
    """Read a task, write ``predict(task, **flags)``, which is a mean, or a mean and a standard deviation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("answer")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    options = vars(parser.parse_args())
    with np.load(options.pop("task")) as file:
        task = dict(file)
    path = options.pop("answer")
    start, cpu = time.perf_counter(), time.process_time()
    found = predict(task, **options)
    cost = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    cost["gigabytes"] = peak_memory()
    mean, std = found if isinstance(found, tuple) else (found, None)
    np.savez(path, mean=mean, **({} if std is None else {"std": std}), **cost)


def peak_memory() -> float:
    """Return the largest resident memory in GB; what getrusage tells includes that of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def standardised(task: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return principal components of the standardised covariates, with unit variance, at spots and at sites."""
    both = np.vstack([task["covariates_spots"], task["covariates_sites"]])
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-9)
    components = both @ np.linalg.svd(both, full_matrices=False)[2].T
    components /= np.maximum(components.std(axis=0), 1e-9)
    n = len(task["spots"])
    return components[:n], components[n:]


def principal_components(values: np.ndarray, n: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, loadings, mean of the genes, and their variances outside the components."""
    mean = values.mean(axis=0)
    u, s, loadings = np.linalg.svd(values - mean, full_matrices=False)
    n = min(n, len(values) - 1, values.shape[1])
    scores, loadings = u[:, :n] * s[:n], loadings[:n]
    return scores, loadings, mean, np.square(values - mean - scores @ loadings).mean(axis=0)
