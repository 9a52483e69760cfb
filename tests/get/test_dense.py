"""The way into scanpy and squidpy: imputed values in X."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

import s2s_scverse as s2s


@pytest.fixture(scope="module")
def section():
    adata = s2s.datasets.simulated_tissue(n_rows=22, n_cols=24, n_genes=12, rng=3)
    adata.obs["domain"] = np.where(adata.obsm["spatial"][:, 0] > 1000, "a", "b")
    adata.obsm["X_pca"] = np.ones((adata.n_obs, 2))
    adata.uns |= {"neighbors": {}, "domain_colors": ["#000000", "#ffffff"]}
    dense = s2s.pp.grid(adata, upsample=2)
    s2s.pp.normalize(dense)
    s2s.tl.interpolate(dense, "kriging", key_added="s2s")
    dense.var["s2s_reliability"] = np.r_[np.nan, np.linspace(0.1, 0.9, 11)].astype(np.float32)
    return dense


def test_values_are_those_of_the_layer_and_annotations_are_kept(section):
    before = section.copy()
    plain = s2s.get.dense(section)
    assert plain.X.dtype == np.float32
    np.testing.assert_array_equal(plain.X, section.layers["s2s"])
    assert plain.obs.equals(section.obs)
    assert plain.var.equals(section.var)
    assert list(plain.obsm) == ["spatial"]
    assert set(plain.uns) == {"s2s", "log1p", "domain_colors"}
    assert not plain.layers
    plain.X[:], plain.uns["s2s"]["grid"]["kind"] = -1, "changed"
    np.testing.assert_array_equal(section.layers["s2s"], before.layers["s2s"])
    assert section.uns["s2s"]["grid"]["kind"] == "square"


def test_genes_and_sites_without_values_are_left_out(section):
    layer = section.layers["s2s"].copy()
    layer[:, 2], layer[-5:] = np.nan, np.nan
    section = section.copy()
    section.layers["s2s"], section.obsm["neighbours"] = layer, sparse.csr_matrix(np.eye(section.n_obs, 3))
    plain = s2s.get.dense(section, min_reliability=0.5)
    kept = section.var_names[section.var["s2s_reliability"] >= 0.5]
    assert plain.var_names.equals(kept)
    np.testing.assert_array_equal(plain.X, section[:-5, kept].layers["s2s"])
    np.testing.assert_array_equal(plain.obsm["neighbours"].toarray(), np.eye(section.n_obs - 5, 3))
    assert section.var_names[2] not in s2s.get.dense(section).var_names
    chosen = section.var_names[[7, 4]].tolist()
    assert s2s.get.dense(section, genes=chosen).var_names.tolist() == chosen
    with pytest.raises(KeyError, match=f"genes not imputed by run 's2s': {section.var_names[2]}; impute them"):
        s2s.get.dense(section, genes=section.var_names[2])


def test_any_storage(section, tmp_path):
    layer = section.layers["s2s"]
    for stored in (layer.astype(np.float16), da.from_array(layer, chunks=(100, 5))):
        adata = section.copy()
        adata.layers["s2s"] = stored
        plain = s2s.get.dense(adata[::-1])
        assert type(plain.X) is np.ndarray
        assert plain.X.dtype == np.float32
        np.testing.assert_allclose(plain.X, layer[::-1], atol=2e-3)
    section.write_h5ad(tmp_path / "section.h5ad")
    backed = ad.read_h5ad(tmp_path / "section.h5ad", backed="r")
    np.testing.assert_array_equal(s2s.get.dense(backed).X, layer)
    backed.file.close()
