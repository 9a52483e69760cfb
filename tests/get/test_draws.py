"""Conditional draws: sections that could have been measured."""

import anndata as ad
import numpy as np
import pytest
from scipy.spatial import cKDTree

import s2s_scverse as s2s

QUICK = {"preset": "quick", "progress": False}


@pytest.fixture(scope="module")
def dense(_section):
    adata = _section.copy()
    s2s.tl.impute(adata, **QUICK)
    return adata


@pytest.fixture(scope="module")
def denoised(_section):
    adata = _section.copy()
    s2s.tl.impute(adata, denoise=True, **QUICK)
    return adata


def stacked(adata, n, **arguments):
    return np.stack([draw.X for draw in s2s.get.draws(adata, n, **arguments)])


def test_draws_have_the_means_and_deviations_of_the_layers_and_the_measured_values(dense):
    drawn = stacked(dense, 300)
    measured = dense.obs["s2s_measured"].to_numpy()
    mean, std = dense.layers["s2s"], dense.layers["s2s_std"]
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    np.testing.assert_array_equal(drawn[:, measured], np.broadcast_to(mean[measured], drawn[:, measured].shape))
    away = (drawn.mean(axis=0) - mean)[~measured] / std[~measured]
    assert abs(away.mean()) < 0.01
    assert np.sqrt(np.square(away).mean()) * np.sqrt(300) == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(drawn.std(axis=0)[~measured].mean(axis=0), std[~measured].mean(axis=0), rtol=0.05)


def test_same_draws_whatever_the_other_genes(dense):
    drawn = stacked(dense, 3, rng=5)
    genes = dense.var_names[[9, 3]]
    np.testing.assert_allclose(stacked(dense, 3, rng=5, genes=genes.tolist()), drawn[:, :, [9, 3]], atol=1e-4)


def test_variograms_and_zeros_of_draws_match_those_of_the_measured_spots(dense):
    drawn, measured = stacked(dense, 20), dense.obs["s2s_measured"].to_numpy()
    at = np.asarray(dense.obsm["spatial"])
    step = cKDTree(at).query(at, k=2)[0][:, 1].min()
    for lag in (2, 4):
        far, near = (cKDTree(at).query_pairs(reach * step, output_type="ndarray") for reach in (lag + 0.1, lag - 0.1))
        apart = np.array(sorted(set(map(tuple, far)) - set(map(tuple, near))))
        spots, sites = (apart[each[apart].all(axis=1)] for each in (measured, ~measured))
        of_spots = np.square(np.diff(drawn[0][spots], axis=1)).mean(axis=(0, 1))
        of_sites = np.square(np.diff(drawn[:, sites], axis=2)).mean(axis=(0, 1, 2))
        np.testing.assert_allclose((of_sites / of_spots).mean(), 1, atol=0.1)
    zeros = [(drawn[:, each] == 0).mean() for each in (measured, ~measured)]
    assert zeros[1] == pytest.approx(zeros[0], abs=0.03)


def test_errors_grow_with_the_distance_to_spots(dense):
    far = dense.copy()
    spots = np.flatnonzero(far.obs["s2s_measured"])
    at = np.asarray(far.obsm["spatial"])
    corner = np.linalg.norm(at - at.min(axis=0), axis=1) < 0.4 * np.ptp(at, axis=0).max()
    far.obs.loc[far.obs_names[spots[corner[spots]]], "s2s_measured"] = False
    s2s.tl.impute(far, max_distance=None, **QUICK)
    spread, std = stacked(far, 60).std(axis=0), far.layers["s2s_std"]
    distance = cKDTree(at[far.obs["s2s_measured"]]).query(at)[0]
    beyond = distance > 3 * np.median(distance[distance > 0])
    near = (distance > 0) & ~beyond
    for of in (spread, std):
        assert np.mean(of[beyond].mean(axis=0) / of[near].mean(axis=0)) > 1.05
    for sites in (beyond, near):
        np.testing.assert_allclose(spread[sites].mean(), std[sites].mean(), rtol=0.04)
    held_out = far.obs["s2s_measured"].to_numpy() < dense.obs["s2s_measured"].to_numpy()
    lower, upper = (end[held_out] for end in s2s.get.interval(far))
    truth = dense[held_out].X.toarray()
    assert 0.86 < ((lower <= truth) & (truth <= upper)).mean() < 0.96


def test_errors_of_neighbours_and_of_genes_are_correlated(dense):
    drawn = stacked(dense, 40)
    errors = (drawn - drawn.mean(axis=0))[:, ~dense.obs["s2s_measured"].to_numpy()]
    spread = errors.std(axis=(0, 1))
    at = np.asarray(dense.obsm["spatial"])[~dense.obs["s2s_measured"].to_numpy()]
    near = cKDTree(at).query_pairs(1.1 * cKDTree(at).query(at, k=2)[0][:, 1].min(), output_type="ndarray")
    far = np.stack([np.arange(len(at)), np.roll(np.arange(len(at)), len(at) // 2)], axis=1)
    of_near, of_far = ((errors[:, pairs].prod(axis=2)).mean(axis=(0, 1)) / spread**2 for pairs in (near, far))
    assert of_near.mean() > 0.02 + of_far.mean()
    assert abs(of_far.mean()) < 0.03


def test_without_noise_draws_vary_less(dense, denoised):
    hidden = ~dense.obs["s2s_measured"].to_numpy()
    noisy, clean = (stacked(dense, 30, noise=noise)[:, hidden].std(axis=0).mean() for noise in (True, False))
    assert 0.3 * noisy < clean < 0.99 * noisy
    # Values that are no counts: the noise is what varies from site to site.
    other = dense.copy()
    other.X = (other.X.toarray() * 0.7 + 0.1 * np.sqrt(other.X.toarray())).astype(np.float32)
    s2s.tl.impute(other, total_counts=None, **QUICK)
    smooth = stacked(other, 30, noise=False)[:, hidden].std(axis=0).mean()
    assert smooth < 0.8 * stacked(other, 30)[:, hidden].std(axis=0).mean()
    # Measured spots of a denoised run are drawn, at their remaining uncertainty, or with new noise.
    spots, std = ~hidden, denoised.layers["s2s_std"]
    again, of_expression = (stacked(denoised, 100, noise=noise)[:, spots] for noise in (True, False))
    np.testing.assert_allclose(of_expression.std(axis=0).mean(), std[spots].mean(), rtol=0.1)
    assert again.std(axis=0).mean() > 1.2 * std[spots].mean()
    np.testing.assert_allclose(again.mean(axis=(0, 1)), denoised.layers["s2s"][spots].mean(axis=0), rtol=0.05)


def test_several_sections_and_sites_without_values():
    made = [s2s.datasets.simulated_tissue(n_rows=14, n_cols=n, n_genes=6, rng=n) for n in (14, 16)]
    both = ad.concat(dict(zip("ab", made, strict=True)), label="library", index_unique="-")
    dense = s2s.pp.grid(both, upsample=2, library_key="library")
    s2s.pp.normalize(dense)
    s2s.tl.impute(dense, max_distance=None, **QUICK)
    far = np.arange(0, dense.n_obs, 7)
    far = far[~dense.obs["s2s_measured"].to_numpy()[far]]
    dense.layers["s2s"][far] = np.nan
    (draw,) = s2s.get.draws(dense, 1)
    assert draw.n_obs == dense.n_obs - len(far)
    assert np.isfinite(draw.X).all()
    kept = np.setdiff1d(np.arange(dense.n_obs), far)
    changed = (dense.layers["s2s"][kept] != draw.X).any(axis=1)
    np.testing.assert_array_equal(changed, ~dense.obs["s2s_measured"].to_numpy()[kept])


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
@pytest.mark.parametrize("write", ["write_h5ad", "write_zarr"])
def test_draws_from_a_file_are_the_same_bit_for_bit(imputed, tmp_path, write):
    getattr(imputed, write)(tmp_path / "run")
    read = (ad.read_h5ad if write == "write_h5ad" else ad.read_zarr)(tmp_path / "run")
    np.testing.assert_array_equal(stacked(read, 2), stacked(imputed, 2))
