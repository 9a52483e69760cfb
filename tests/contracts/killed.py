"""Kills runs at random moments and goes on with each. Run by test_faults.py.

``python killed.py HOW SECTION FOLDER TIMES SEED``: HOW is ``store``, ``h5ad`` or ``zarr``. Every run is a process of
its own, forked from this one, which has imported everything. Prints a line of JSON for each: when it was killed, and
what was there then.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy  # noqa: F401
import torch
import zarr
from lightning.pytorch import Trainer  # noqa: F401

import s2s_scverse as s2s
from s2s_scverse import _cli, _train

how, section, folder, times, seed = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
torch.set_num_threads(1)
_survey.GENE_BLOCK = 4
TRAINING = replace(
    _train.TRAINING_PRESETS["default"],
    max_epochs=4,
    steps_per_epoch=4,
    masks=2,
    batch_size=4,
    n_images=0,
    shrink=False,
    precision="32",
)
s2s.tl.impute = partial(s2s.tl.impute, training=TRAINING)
LAYERS = ("s2s", "s2s_std")


def run(place: Path) -> None:
    """The job that is killed."""
    if how == "store":
        adata = ad.read_h5ad(section)
        s2s.tl.impute(adata, progress=False, checkpoint=place / "training", store=place / "out")
        return
    sys.argv = ["s2s", "-q", "impute", section, "-o", str(result(place)), "--as-is"]
    sys.argv += ["--checkpoint", str(place / "training")]
    _cli.main()


def result(place: Path) -> Path:
    """What the job writes."""
    return place / ("out" if how == "store" else f"out.{how}")


def start(place: Path) -> int:
    """Run it in a process of its own, and return that."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        with (place / "log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        run(place)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        os._exit(status)


def finish(place: Path) -> None:
    """Run it to its end."""
    status = os.waitstatus_to_exitcode(os.waitpid(start(place), 0)[1])
    if status:
        sys.exit(f"exit status {status}: {(place / 'log').read_text()}")


def read(place: Path) -> dict[str, np.ndarray]:
    """Everything that was imputed."""
    path = result(place)
    if how == "h5ad":
        adata = ad.read_h5ad(path)
    elif how == "zarr":
        adata = ad.read_zarr(path)
    else:
        group = zarr.open_group(path, mode="r")
        return {layer: ad.io.read_elem(group[layer]) for layer in LAYERS}
    return {layer: adata.layers[layer] for layer in LAYERS}


def same(place: Path, expected: dict[str, np.ndarray]) -> bool:
    """Whether it is what an uninterrupted run imputes, bit for bit."""
    return all(np.array_equal(found, expected[layer]) for layer, found in read(place).items())


whole = folder / "whole"
whole.mkdir()
begin = time.monotonic()
finish(whole)
lasts = time.monotonic() - begin
expected = read(whole)
rng = np.random.default_rng(seed)
for number in range(times):
    place = folder / str(number)
    place.mkdir()
    moment = rng.uniform(0.02, 1.02) * lasts
    process = start(place)
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)
    killed = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    there = sorted(path.name.split(".")[0] for path in place.iterdir() if path.name != "log")
    whole_if_there = not result(place).exists() or same(place, expected)
    finish(place)
    found = {"moment": round(moment / lasts, 3), "killed": killed, "there": there, "whole_if_there": whole_if_there}
    print(json.dumps(found | {"same": same(place, expected)}), flush=True)  # noqa: T201
