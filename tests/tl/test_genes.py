import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from s2s_scverse._adata import GeneMatrix, Survey, _genes


@pytest.fixture
def values(monkeypatch):
    monkeypatch.setattr(_genes, "GENE_BLOCK", 3)
    rng = np.random.default_rng(0)
    return rng.normal(5, [1, 3, 0, 2, 4, 0.5, 1, 2], (60, 8)).astype(np.float32)


def survey_of(values, rows, sections, layer=sparse.csr_matrix, wanted=None):
    adata = ad.AnnData(layer(values))
    wanted = np.ones(values.shape[1], bool) if wanted is None else wanted
    return Survey.of(GeneMatrix(adata, rows, np.arange(values.shape[1])).by_gene(), sections, wanted)


def test_sections_are_looked_at_by_themselves(values):
    rows = np.arange(60) % 2 == 0
    first, second = np.arange(12), np.arange(12, 30)
    found = survey_of(values, rows, [first, second])
    seen = values[rows].astype(float)
    expected = 12 * seen[first].var(axis=0) + 18 * seen[second].var(axis=0)
    np.testing.assert_allclose(found.variance, expected, rtol=1e-5)
    np.testing.assert_allclose(found.mean, seen.mean(axis=0), rtol=1e-5)
    assert found.most_variable(3).tolist() == np.sort(np.argsort(-expected)[:3]).tolist()
    assert found.most_variable(8).tolist() == [0, 1, 3, 4, 5, 6, 7]
