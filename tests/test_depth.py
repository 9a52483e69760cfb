import anndata as ad
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from s2s_scverse._adata import find_depth, read_molecules
from s2s_scverse._checks import named_layers

FORMATS = [np.asarray, sparse.csr_array, sparse.csc_matrix]


@pytest.fixture
def counts():
    """Counts of 60 spots whose depths differ by a factor of ten."""
    rng = np.random.default_rng(1)
    depth = rng.uniform(30, 300, 60)
    return rng.poisson(depth[:, None] * rng.dirichlet(np.ones(40))).astype(np.float32)


def scaled(counts, target=100.0):
    return counts * (target / counts.sum(axis=1, keepdims=True))


def read_depth(adata, rows, *, layer, total_counts):
    return find_depth(adata, rows, read_molecules(adata, rows, layer=layer), total_counts)


ROWS = np.arange(60) % 3 > 0


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("logged", [True, False])
def test_depth_is_read_back_from_scaled_counts(counts, form, logged):
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


def test_layers_are_read_in_blocks(counts, monkeypatch):
    monkeypatch.setattr("s2s_scverse._adata._genes.ROW_BLOCK", 7)
    adata = ad.AnnData(np.zeros_like(counts))
    adata.layers["rows"], adata.layers["columns"] = sparse.csr_matrix(counts), sparse.csc_matrix(counts)
    for layer in named_layers(adata):
        assert_allclose(read_depth(adata, ROWS, layer=layer, total_counts="auto"), counts.sum(axis=1)[ROWS])


def test_other_values_tell_nothing_and_empty_spots_are_the_least_deep(counts):
    rng = np.random.default_rng(0)
    for values in (rng.gamma(2, size=counts.shape), np.sqrt(counts), rng.normal(size=counts.shape), 0 * counts):
        adata = ad.AnnData(values.astype(np.float32))
        assert read_molecules(adata, ROWS, layer=None) is None
        assert read_depth(adata, ROWS, layer=None, total_counts="auto") is None
    counts[4] = 0
    assert ROWS[4]
    found = read_molecules(ad.AnnData(counts), ROWS, layer=None)
    assert np.isfinite(found.depth).all()
    assert found.depth[ROWS[:4].sum()] == found.depth.min() > 0


def test_a_column_is_taken_at_its_word(counts):
    adata = ad.AnnData(counts)
    adata.obs["n_counts"] = np.where(ROWS, np.arange(60.0), np.nan)
    assert read_depth(adata, ROWS, layer=None, total_counts=None) is None
    assert_allclose(read_depth(adata, ROWS, layer=None, total_counts="n_counts"), np.arange(60)[ROWS])
    equal = ad.AnnData(np.tile(counts[:1], (60, 1)))
    assert read_depth(equal, ROWS, layer=None, total_counts="auto") is None


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
