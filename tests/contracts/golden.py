"""How accurate everything is on a simulated section; ``python golden.py`` prints it as JSON.

Run by test_golden.py, which compares it with golden.json. ``python golden.py 2`` computes on two threads. After a
change that is meant to change it: ``python tests/contracts/golden.py > tests/contracts/golden.json``, and say in the
commit what has become better.
"""

import json
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import scanpy as sc
import torch
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

import s2s_scverse as s2s

CLASSICAL = ("nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging")
METHODS = (*CLASSICAL, "start", "network")
SCORES = ("pcc", "rmse")


def section():
    """Three of four spots are held out; the truth is known."""
    adata = s2s.datasets.simulated_tissue(n_rows=34, n_cols=36, n_genes=30, depth=2000, rng=11)
    sc.pp.normalize_total(adata, target_sum=2000)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    return dense


def impute(dense):
    """By all methods; the network not shrunken, or the initial estimate would hide it."""
    for method in CLASSICAL:
        s2s.tl.interpolate(dense, method)
    training = replace(s2s.tl.TrainingConfig(), min_spots=0, max_epochs=8, steps_per_epoch=30, precision="32")
    s2s.tl.impute(dense, training=training, max_epochs=0, key_added="start", progress=False)
    s2s.tl.impute(
        dense, training=replace(training, shrink=False), key_added="network", progress=False, uncertainty=False
    )


def scores(dense):
    """Scores of every method and gene, against measured values and against the truth."""
    found: dict[str, Any] = {}
    for truth in (None, "truth"):
        s2s.tl.evaluate(dense, list(METHODS), layer=truth, n_bootstrap=1)
        table = s2s.get.evaluation_df(dense)
        for score in SCORES:
            # The truth of flat genes is the same everywhere, which nothing can be correlated with.
            values = table.pivot(index="gene", columns="method", values=score).loc[dense.var_names]
            of = {method: np.round(values[method].to_numpy(float), 5).tolist() for method in METHODS}
            found[f"{score} with {truth or 'measured'}"] = of
        if truth is None:
            found["coverage"] = round(float(table.loc[table["method"] == "start", "coverage"].mean()), 5)
    found["reliability"] = np.round(dense.var["start_reliability"].to_numpy(float), 5).tolist()
    found["draws"] = draws(dense)
    return found


def draws(dense):
    """Moran's I and variance of every gene, means over conditional draws."""
    at = np.asarray(dense.obsm["spatial"])
    pairs = cKDTree(at).query_pairs(1.1 * cKDTree(at).query(at, k=2)[0][:, 1].min(), output_type="ndarray")

    def statistics(draw):
        centred = draw.X - draw.X.mean(axis=0)
        variance = np.square(centred).mean(axis=0)
        return np.stack([centred[pairs].prod(axis=1).mean(axis=0) / variance, variance])

    found = s2s.tl.propagate(dense, statistics, 5, key="start", progress=False)["estimate"].to_numpy().reshape(2, -1)
    return {name: np.round(each, 5).tolist() for name, each in zip(("Moran's I", "variance"), found, strict=True)}


def main():
    """Print it."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        dense = section()
        impute(dense)
        found = scores(dense)
    sys.stdout.write(json.dumps(found, indent=1).replace("\n   ", "").replace("NaN", "null") + "\n")


if __name__ == "__main__":
    main()
