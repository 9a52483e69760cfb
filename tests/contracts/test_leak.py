"""Held-out values must never be read: all of them are replaced by random numbers, and nothing may change by a bit."""

import dask.array as da
import numpy as np
import pytest

import s2s_scverse as s2s

IMAGES = np.random.default_rng(1).random((3, 40, 40))


def scrambled(adata):
    """Replace X and the truth at every unmeasured site."""
    rng = np.random.default_rng(9)
    hidden = ~adata.obs["s2s_measured"].to_numpy()
    adata = adata.copy()
    adata.X = adata.X.toarray()
    for values in (adata.X, adata.layers["truth"]):
        values[hidden] = rng.normal(50, 30, size=(hidden.sum(), adata.n_vars))
    return adata


def mask(adata, sampling):
    adata.obs["s2s_measured"] |= adata.obs.pop("s2s_held_out")
    s2s.pp.sparsify(adata, **sampling)


@pytest.mark.parametrize(
    ("preset", "epochs", "sampling"),
    [
        ("default", 2, {"stride": 2, "phase": (1, 0)}),
        ("default", 2, {"fraction": 0.3}),
        ("default", 0, {"stride": 2}),
        ("quick", 0, {"fraction": 0.3}),
        ("paper", 2, {"stride": 2}),
    ],
    ids=str,
)
def test_imputation_never_reads_held_out_values(section, preset, epochs, sampling, monkeypatch):
    from dataclasses import replace

    from s2s_scverse.nn import PRESETS
    from s2s_scverse.tl import TRAINING_PRESETS

    monkeypatch.setattr("s2s_scverse._train._fit.LEAST_GAIN", 0.0)  # train the network even if it does not help
    mask(section, sampling)
    quick, network = preset == "quick", PRESETS[preset]
    if preset == "paper":
        network = replace(network, features=8, growth=4, blocks=1, heads=2, window=4)
    little = {"min_spots": 0, "steps_per_epoch": 2, "masks": 2, "n_images": 2, "batch_size": 2, "max_epochs": epochs}
    training = replace(TRAINING_PRESETS[preset], **little, max_genes=6, shrink=False)
    arguments = {"network": network, "training": training, "progress": False, "natural_images": IMAGES}
    other = scrambled(section)
    for adata in (section, other):
        s2s.tl.impute(adata, **arguments)
        arguments["training"] = replace(training, shrink=True)
        if quick:
            s2s.tl.impute(adata, layer="truth", key_added="from_layer", **arguments)
            s2s.tl.impute(adata, covariates=["array_row", "array_col"], key_added="guided", **arguments)
        s2s.tl.impute(adata, key_added="denoised", denoise=True, **arguments)
        arguments["training"] = training
    for key in ("s2s", "denoised", *(["from_layer", "guided"] if quick else [])):
        assert section.uns["s2s"][key]["history"].empty == (not epochs)
        assert ("network" in section.uns["s2s"][key]["model"]) != quick
        assert np.array_equal(section.layers[key], other.layers[key])
        assert np.array_equal(section.layers[f"{key}_std"], other.layers[f"{key}_std"])
        assert section.var[f"{key}_reliability"].equals(other.var[f"{key}_reliability"])
        assert section.uns["s2s"][key]["history"].equals(other.uns["s2s"][key]["history"])
        assert section.uns["s2s"][key]["shrinkage"] == other.uns["s2s"][key]["shrinkage"]
    if quick:
        assert section.var["guided_covariate_gain"].equals(other.var["guided_covariate_gain"])


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda a: s2s.get.image(a).to_numpy(), id="image"),
        pytest.param(lambda a: s2s.get.reliability_df(a, scales=4, n=2).to_numpy(), id="reliability"),
        pytest.param(lambda a: np.stack([draw.X for draw in s2s.get.draws(a, 2)]), id="draws"),
        pytest.param(lambda a: np.stack([draw.X for draw in s2s.get.draws(a, 1, noise=False)]), id="no noise"),
    ],
)
def test_nor_do_results(imputed, function):
    np.testing.assert_array_equal(function(imputed), function(scrambled(imputed)))


def test_nor_do_lazy_values_and_stored_layers(section, quick, tmp_path):
    found = []
    for number, adata in enumerate((section, scrambled(section))):
        adata.X = da.from_array(np.asarray(adata.X if number else adata.X.toarray()), chunks=(100, 5))
        s2s.tl.impute(adata, store=tmp_path / str(number), **quick)
        found.append([adata.layers[key].compute() for key in ("s2s", "s2s_std")])
    assert np.array_equal(found[0], found[1])
