"""Same seed, same result; another seed, another result; global random states stay as they are."""

import random

import numpy as np
import pytest

import s2s_scverse as s2s

tissue, images = s2s.datasets.simulated_tissue, s2s.datasets.natural_images
GRID = s2s.pp.grid(tissue(n_genes=6))
FUNCTIONS = {
    "simulated": lambda _, rng: tissue(n_rows=20, n_cols=20, n_genes=6, rng=rng).X.toarray(),
    "truth": lambda _, rng: tissue(n_rows=20, n_cols=20, n_genes=6, rng=rng).layers["truth"],
    "photographs": lambda _, rng: images("photographs", size=(24, 16), n=13, rng=rng),
    "sparsify": lambda _, rng: s2s.pp.sparsify(GRID, fraction=0.2, rng=rng, copy=True).obs["s2s_measured"],
    "evaluate": lambda a, rng: s2s.get.evaluation_summary_df(s2s.tl.evaluate(a, rng=rng, copy=True))[["lower"]],
    "draws": lambda a, rng: np.stack([draw.X for draw in s2s.get.draws(a, 2, rng=rng)]),
    "propagate": lambda a, rng: s2s.tl.propagate(a, lambda draw: draw.to_df().var(), 2, rng=rng, progress=False),
    "reliability_df": lambda a, rng: s2s.get.reliability_df(a, scales=4, n=2, rng=rng),
}


def states():
    import torch

    return random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()  # noqa: NPY002


def check(function):
    before, generator = states(), np.random.default_rng(5)
    first, again, later, other = (np.asarray(function(rng)) for rng in (5, generator, generator, 6))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(later, first)  # a generator goes on
    assert not np.array_equal(other, first)
    assert states() == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_seed_same_result(name, imputed):
    check(lambda rng: FUNCTIONS[name](imputed, rng))


def test_same_seed_same_training(section, quick):
    check(lambda rng: s2s.tl.impute(section, rng=rng, copy=True, **quick).layers["s2s"])
    assert "s2s" not in section.layers
