"""A section that is flipped or turned gets the same answer, flipped or turned."""

from dataclasses import replace

import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse._lattice import KINDS
from s2s_scverse._predict import CrossValidation, fit_section

SYMMETRIES = KINDS["square"].symmetries[1:]


def turned(section, symmetry):
    """Rebuild the section from its spots in another orientation, in the same order of sites."""
    result = section.copy()
    array = section.obs[["array_row", "array_col"]].to_numpy() @ symmetry.T
    result.obs["array_row"], result.obs["array_col"] = (array - array.min(axis=0)).T
    return result


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda matrix: str(matrix.ravel().tolist()))
def test_initial_estimates_turn_with_the_section(section, symmetry):
    measured = section.obs["s2s_measured"].to_numpy()
    values = section.X[measured].toarray()
    found = []
    for adata in (section, turned(section, symmetry)):
        on_lattice = replace(read_section(adata)[1], values=values, wanted=np.ones(len(measured), bool))
        weights = CrossValidation(on_lattice, "stack", seed=0).stacking
        found.append(fit_section(on_lattice, "stack", on_lattice.wanted, weights).maps(values))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize("symmetry", SYMMETRIES[[0, 4]], ids=["first", "fifth"])
def test_imputation_turns_with_the_section_up_to_training_noise(section, imputed, quick, symmetry):
    other = turned(section, symmetry)
    s2s.tl.impute(other, **quick)
    hidden = section.obs["s2s_held_out"].to_numpy()
    here, there = imputed.layers["s2s"][hidden], other.layers["s2s"][hidden]
    error = here - section.X[hidden].toarray()
    assert np.square(here - there).mean() < 0.05 * np.square(error).mean()
