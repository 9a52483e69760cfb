"""Imputes with too little memory, or too little room on the disk. Run by test_faults.py.

``python limited.py memory|checkpoint|store SECTION FOLDER``: the limit comes with the second block of genes, the second
checkpoint, or the second block that is stored. Prints the error, whether the AnnData is as it was, and which files
are there; then whether the same call, without the limit, gives the layers of a run without a fault.
"""

import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

import s2s_scverse as s2s
from s2s_scverse import _train
from s2s_scverse._train import _trainer
from s2s_scverse.tl import _layers

what, section, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
LIMITS = {
    "memory": (resource.RLIMIT_DATA, 1, _train.Imputation, "__call__"),
    "checkpoint": (resource.RLIMIT_FSIZE, 1000, _trainer.WholeCheckpoints, "save_checkpoint"),
    "store": (resource.RLIMIT_FSIZE, 100, _layers.StoredLayers, "write"),
}
kind, least, owner, name = LIMITS[what]
function, calls = getattr(owner, name), []


def limited(*arguments: Any, **more: Any) -> Any:
    """From the second call on there is no more than that."""
    calls.append(1)
    if len(calls) == 2:
        resource.setrlimit(kind, (least, resource.RLIM_INFINITY))
    return function(*arguments, **more)


training = replace(
    _train.TRAINING_PRESETS["default"],
    start="kriging",
    max_epochs=3,
    steps_per_epoch=2,
    masks=1,
    batch_size=2,
    n_images=0,
    max_genes=16,
    precision="32",
)
arguments: dict[str, Any] = {"training": training, "progress": False}
adata = ad.read_h5ad(section)
expected = adata.copy()
s2s.tl.impute(expected, **arguments)
if what == "checkpoint":
    arguments["checkpoint"] = folder / "training"
if what == "store":
    arguments["store"] = folder / "layers"
before = adata.copy()
setattr(owner, name, limited)
try:
    s2s.tl.impute(adata, **arguments)
except (MemoryError, OSError) as error:
    resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sys.stdout.write(f"{type(error).__name__} {error}\n")
setattr(owner, name, function)
unchanged = str(adata) == str(before) and adata.obs.equals(before.obs) and adata.var.equals(before.var)
sys.stdout.write(f"unchanged {unchanged and (adata.X != before.X).nnz == 0}\n")
sys.stdout.write(f"there {sorted(path.name for path in folder.iterdir())}\n")
s2s.tl.impute(adata, **arguments)
same = all(np.array_equal(adata.layers[layer], expected.layers[layer]) for layer in ("s2s", "s2s_std"))
sys.stdout.write(f"same {same}\n")
