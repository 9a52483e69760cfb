from typing import TYPE_CHECKING

import numpy as np

from .. import _keys
from .._adata import Inputs, read_inputs_of_run

if TYPE_CHECKING:
    from anndata import AnnData

    from .._train import SectionModel

__all__ = ["read_models"]


def read_models(adata: "AnnData", key: str = _keys.UNS, *, device: str = "auto") -> "tuple[list[SectionModel], Inputs]":
    """Return the fitted models of a run of :func:`s2s_scverse.tl.impute`, one for each section, and their input.

    Network, stacking weights and error statistics are read from ``.uns["s2s"][key]["model"]``; predictors are fitted
    again. Raises a KeyError if the run has no model, and a ValueError if the spots have changed since.
    """
    from .._train import find_device, restore_models

    run, inputs = read_inputs_of_run(adata, key, np.zeros(adata.n_vars, bool), covariates=True)
    return restore_models(inputs.sections, run, run[_keys.MODEL], find_device(device)), inputs
