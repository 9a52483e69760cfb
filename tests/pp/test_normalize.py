"""Depth is that of measured spots: scanpy's median over all rows is 0 where most sites are unmeasured."""

import dask.array as da
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def _counts():
    return s2s.datasets.simulated_tissue(n_rows=14, n_cols=16, n_genes=6, rng=3)


@pytest.fixture
def counts(_counts):
    return _counts.copy()


def test_spots_have_their_own_median_and_sites_stay_zero(counts):
    counts.X[3] *= 0
    dense = s2s.pp.grid(counts, upsample=2)
    totals = dense.X.toarray().sum(axis=1)
    dense.obs["s2s_measured"] = (totals > 0) | (np.arange(dense.n_obs) == 3)
    s2s.pp.sparsify(dense, fraction=0.6)
    seen = dense.obs["s2s_measured"].to_numpy() & (totals > 0)
    raw = dense.X.toarray()
    expected = np.log1p(raw / np.maximum(totals, 1)[:, None] * np.median(totals[seen]))
    s2s.pp.normalize(dense)
    np.testing.assert_allclose(dense.X.toarray(), expected, rtol=1e-5)
    assert dense.uns["log1p"] == {"base": None}


def test_before_the_grid_it_is_what_scanpy_does_and_values_that_are_no_counts_are_told(counts):
    expected = counts.copy()
    sc.pp.normalize_total(expected)
    sc.pp.log1p(expected)
    found = s2s.pp.normalize(counts, copy=True)
    np.testing.assert_allclose(found.X.toarray(), expected.X.toarray(), rtol=1e-6)
    assert found.uns["log1p"] == expected.uns["log1p"]
    assert "log1p" not in counts.uns
    s2s.pp.normalize(counts)
    with pytest.warns(UserWarning, match=r"adata\.X has values that are not whole numbers.*normalized already"):
        s2s.pp.normalize(counts)


@pytest.mark.parametrize(
    "store",
    [
        pytest.param(lambda x: x.toarray().astype(np.uint16), id="integers"),
        pytest.param(lambda x: sparse.csr_array(x).astype(np.int64), id="array"),
        pytest.param(lambda x: da.from_array(x, chunks=(50, -1), asarray=False), id="sparse dask"),
    ],
)
def test_any_storage_and_layer(counts, store):
    expected = s2s.pp.normalize(counts, target_sum=100, log1p=False, copy=True).X.toarray()
    np.testing.assert_allclose(expected.sum(axis=1), 100, rtol=1e-5)
    before, counts.layers["counts"] = counts.X.toarray(), store(counts.X)
    s2s.pp.normalize(counts, target_sum=100, layer="counts", log1p=False)
    found = counts.layers["counts"]
    np.testing.assert_allclose(found.toarray() if sparse.issparse(found) else found, expected, rtol=1e-6)
    np.testing.assert_array_equal(counts.X.toarray(), before)
