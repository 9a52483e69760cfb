"""Pooling of cells and beads in bins."""

import logging
import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .._checks import are_counts, check_finite, few, is_sparse, named_layers
from .._lattice import Lattice

__all__ = ["binned"]

log = logging.getLogger(__name__)


def binned(
    adata: AnnData, lattices: Sequence[Lattice], bins: NDArray[np.int64], spatial_key: str
) -> tuple[AnnData, dict[str, str]]:
    """Return the bins of all sections, and whether X and each layer are a ``"sum"`` or a ``"mean"``.

    `bins` holds the bin of each cell, numbered over all lattices, (n_cells,); -1 for none.
    """
    inside = np.flatnonzero(bins >= 0)
    shape = sum(len(lattice) for lattice in lattices), adata.n_obs
    n_cells = np.bincount(bins[inside], minlength=shape[0])
    members = sparse.csr_matrix((np.ones(len(inside), np.float32), (bins[inside], inside)), shape=shape)
    pooling = {}

    def pooled(matrix: Any, key: str, what: str) -> Any:
        check_finite(matrix, what)
        total = members @ (matrix if is_sparse(matrix) else np.asarray(matrix))
        pooling[key] = "sum" if are_counts(matrix) else "mean"
        if pooling[key] == "mean":
            total = sparse.diags_array((1 / n_cells).astype(np.float32)) @ total
        return total.astype(np.float32)

    spots = AnnData(
        X=None if adata.X is None else pooled(adata.X, "X", "adata.X"),
        obs=pd.DataFrame({"n_cells": n_cells}, index=pd.RangeIndex(shape[0]).astype(str)),
        var=adata.var.copy(),
        layers={key: pooled(layer, key, f"adata.layers[{key!r}]") for key, layer in named_layers(adata).items()},
        obsm={spatial_key: np.concatenate([lattice.coordinates for lattice in lattices])},
    )
    averaged = [key for key, how in pooling.items() if how == "mean"]
    if averaged and averaged[0] != "X" and adata.X is not None:
        log.warning("bins have means of %s, which are not counts; normalise bins instead", few(averaged))
    elif averaged:
        what = "adata.X" if averaged[0] == "X" else f"adata.layers[{averaged[0]!r}]"
        msg = (
            f"{what} holds values that are not counts: bins get their means, and a mean of logarithms is not the "
            "logarithm of a mean; bin counts, then normalise the bins with s2s.pp.normalize"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    if "spatial" in adata.uns:
        spots.uns["spatial"] = deepcopy(adata.uns["spatial"])
    return spots, pooling
