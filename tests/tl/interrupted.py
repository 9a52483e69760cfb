"""Imputes a section; sends itself a signal at some point. Run by test_interruptions.py.

``python interrupted.py SECTION CHECKPOINT STORE POINT SIGNAL``; the point ``none`` is never reached. Prints how many
epochs were trained and how many blocks were imputed.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import anndata as ad
import zarr

import s2s_scverse as s2s
from s2s_scverse import _train
from s2s_scverse._train import _fit, _module
from s2s_scverse.tl import _survey

section, checkpoint, store, point, sent = sys.argv[1:]
# What a shell starts in the background ignores Ctrl-C, and so does what that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
_survey.GENE_BLOCK = 4
counts = {"epochs": 0, "blocks": 0}


def before(owner, name, at, count=0):
    """Send the signal when a function is called for the (count + 1)th time, if this is the point."""
    function, calls = getattr(owner, name), []

    def call(*arguments, **more):
        calls.append(1)
        if at == point and len(calls) == count + 1:
            os.kill(os.getpid(), int(sent))
            time.sleep(0.5)
        return function(*arguments, **more)

    setattr(owner, name, call)


def counted(owner, name, what):
    function = getattr(owner, name)

    def call(*arguments, **more):
        counts[what] += 1
        return function(*arguments, **more)

    setattr(owner, name, call)


before(_fit, "leave_out", "starting maps")
before(_module.TrainingPlan, "training_step", "training", 9)
before(Path, "replace", "checkpoint", 1)
before(_train.Imputation, "__call__", "imputing", 1)
before(zarr.Array, "__setitem__", "writing", 5)
before(Path, "rename", "naming")
counted(_module.TrainingPlan, "on_validation_epoch_end", "epochs")
counted(_train.Imputation, "__call__", "blocks")

training = replace(
    _train.TRAINING_PRESETS["fast"],
    max_epochs=4,
    steps_per_epoch=4,
    patterns=2,
    batch_size=4,
    n_images=0,
    gate=False,
    precision="32",
)
adata = ad.read_h5ad(section)
s2s.tl.impute(adata, training=training, progress=False, checkpoint=checkpoint, store=store)
sys.stdout.write(f"{counts['epochs']} {counts['blocks']}\n")
