import anndata as ad
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from s2s_scverse._adata import find_depth, read_molecules

FORMATS = [np.asarray, sparse.csr_array, sparse.csc_matrix]


@pytest.fixture
def counts():
    """Counts of 60 spots whose depths differ by a factor of ten."""
    rng = np.random.default_rng(1)
    depth = rng.uniform(30, 300, 60)
    return rng.poisson(depth[:, None] * rng.dirichlet(np.ones(40))).astype(np.float32)


def scaled(counts, target=100.0):
    return counts * (target / counts.sum(axis=1, keepdims=True))


ROWS = np.arange(60) % 3 > 0


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("logged", [True, False])
def test_depth_is_read_back_from_scaled_counts_in_blocks(counts, form, logged, monkeypatch):
    monkeypatch.setattr("s2s_scverse._adata._genes.ROW_BLOCK", 7)
    values = np.log1p(scaled(counts)) if logged else scaled(counts)
    found = read_molecules(ad.AnnData(form(values)), ROWS, layer=None)
    assert found.logged == logged
    total = counts.sum(axis=1)[ROWS]
    assert_allclose(found.unit, 100 / total, rtol=1e-4)
    assert_allclose(found.depth / found.depth[0], total / total[0], rtol=1e-4)
    found = read_molecules(ad.AnnData(form(counts)), ROWS, layer=None)
    assert not found.logged
    assert_allclose(found.unit, 1)
    assert_allclose(found.depth, total)


def test_other_values_tell_nothing_and_empty_spots_are_the_least_deep(counts):
    rng = np.random.default_rng(0)
    for values in (rng.gamma(2, size=counts.shape), np.sqrt(counts), rng.normal(size=counts.shape), 0 * counts):
        adata = ad.AnnData(values.astype(np.float32))
        assert read_molecules(adata, ROWS, layer=None) is None
        assert find_depth(adata, ROWS, None, "auto") is None
    counts[4] = 0
    assert ROWS[4]
    found = read_molecules(ad.AnnData(counts), ROWS, layer=None)
    assert np.isfinite(found.depth).all()
    assert found.depth[ROWS[:4].sum()] == found.depth.min() > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -3.0])
def test_odd_values_tell_nothing_and_stop_nothing(counts, bad):
    counts[ROWS.argmax(), 3] = bad
    found = read_molecules(ad.AnnData(counts), ROWS, layer=None)
    assert (found is None) == (not np.isnan(bad))
    if found is not None:
        assert np.isfinite(found.depth).all()


def test_few_deep_genes_are_enough():
    rng = np.random.default_rng(5)
    counts = 3 + rng.poisson(rng.uniform(3, 60, 60)[:, None] * np.ones(12))
    counts[:, 0] = 4
    found = read_molecules(ad.AnnData(np.log1p(scaled(counts)).astype(np.float32)), ROWS, layer=None)
    assert_allclose(found.unit, 100 / counts.sum(axis=1)[ROWS], rtol=1e-3)
