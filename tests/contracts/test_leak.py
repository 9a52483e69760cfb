"""Held-out values must never be read: all of them are replaced by random numbers, and nothing may change by a bit."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers
from s2s_scverse.nn import PRESETS
from s2s_scverse.tl import TRAINING_PRESETS


def scrambled(adata):
    """Replace X and all layers at every unmeasured site."""
    rng = np.random.default_rng(9)
    hidden = ~adata.obs["s2s_measured"].to_numpy()
    adata = adata.copy()
    adata.X = adata.X.toarray()
    adata.X[hidden] = rng.normal(50, 30, size=(hidden.sum(), adata.n_vars))
    for key in named_layers(adata):
        adata.layers[key] = np.array(adata.layers[key])
        adata.layers[key][hidden] = rng.normal(50, 30, size=(hidden.sum(), adata.n_vars))
    return adata


@pytest.fixture(scope="module")
def whole():
    adata = s2s.datasets.simulated_tissue(n_rows=18, n_cols=20, n_genes=12, rng=3)
    s2s.pp.normalize(adata)
    return s2s.pp.grid(adata, upsample=1)


@pytest.mark.parametrize(
    ("preset", "epochs", "shrink", "sampling"),
    [
        ("default", 2, False, {"stride": 2, "phase": (1, 0)}),
        ("default", 2, True, {"fraction": 0.3}),
        ("default", 0, False, {"stride": 2}),
        ("quick", 0, True, {"fraction": 0.3}),
        ("paper", 2, True, {"stride": 2}),
    ],
    ids=str,
)
def test_imputation_never_reads_held_out_values(whole, preset, epochs, shrink, sampling, monkeypatch):
    monkeypatch.setattr("s2s_scverse._train._fit.LEAST_GAIN", 0.0)  # train the network even if it does not help
    section = s2s.pp.sparsify(whole, **sampling, copy=True)
    network, runs = PRESETS[preset], {"denoised": {"denoise": True}}
    if preset == "paper":
        network = replace(network, features=8, growth=4, blocks=1, heads=2, window=4, channel_squeeze=4)
    if preset == "quick":
        covariates = {"covariates": ["array_row", "array_col"]}
        runs |= {"plain": {}, "from_layer": {"layer": "truth"}, "guided": covariates}
    little = {"min_spots": 0, "max_epochs": epochs, "steps_per_epoch": 2, "masks": 2, "n_images": 2, "batch_size": 2}
    training = replace(TRAINING_PRESETS[preset], **little, max_genes=6, shrink=shrink)
    arguments = {"network": network, "training": training, "progress": False, "natural_images": "textures"}
    other = scrambled(section)
    for key, options in runs.items():
        for adata in (section, other):
            s2s.tl.impute(adata, key_added=key, **options, **arguments)
        run, again = (adata.uns["s2s"][key] for adata in (section, other))
        assert run["history"].empty == (not epochs)
        assert ("network" in run["model"]) != (preset == "quick")
        assert run["history"].equals(again["history"])
        assert run["shrinkage"] == again["shrinkage"]
        assert np.array_equal(section.layers[key], other.layers[key])
        assert np.array_equal(section.layers[f"{key}_std"], other.layers[f"{key}_std"])
        assert section.var[f"{key}_reliability"].equals(other.var[f"{key}_reliability"])
    if preset == "quick":
        assert section.var["guided_covariate_gain"].equals(other.var["guided_covariate_gain"])


def test_nor_do_lazy_values_and_stored_layers(whole, quick, tmp_path):
    section, found = s2s.pp.sparsify(whole, copy=True), []
    for number, adata in enumerate((section, scrambled(section))):
        adata.X = da.from_array(np.asarray(adata.X if number else adata.X.toarray()), chunks=(100, 5))
        s2s.tl.impute(adata, store=tmp_path / str(number), **quick)
        found.append([adata.layers[key].compute() for key in ("s2s", "s2s_std")])
    assert np.array_equal(found[0], found[1])
