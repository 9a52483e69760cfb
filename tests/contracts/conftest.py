"""What the tables of bad and of odd input share."""

import hashlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse._checks import named_layers

collect_ignore = ["golden.py"]  # a script


def digest(value):
    """Return what tells an AnnData, or anything in one, from any other."""
    result = hashlib.sha256()

    def add(found):
        result.update(type(found).__name__.encode())
        if isinstance(found, ad.AnnData):
            parts = map(dict, (found.uns, named_layers(found), found.obsm, found.varm, found.obsp, found.varp))
            for part in (found.X, found.obs, found.var, found.raw and found.raw.X, *parts):
                add(part)
        elif isinstance(found, pd.DataFrame):
            for part in (found.columns, found.dtypes, found.index):
                add(part.astype(str).tolist())
            add(found.to_dict("list"))
        elif sparse.issparse(found):
            for part in (found.data, found.indices, found.indptr):
                add(part)
        elif isinstance(found, np.ndarray):
            result.update(f"{found.dtype} {found.shape}".encode())
            result.update(repr(found.tolist()).encode() if found.dtype == object else np.ascontiguousarray(found))
        elif hasattr(found, "compute"):
            add(found.compute())
        elif hasattr(found, "items"):
            for key, part in found.items():
                add(str(key))
                add(part)
        else:
            result.update(repr(found).encode())

    add(value)
    return result.hexdigest()


@pytest.fixture
def fingerprint():
    """Return what tells an AnnData, or anything in one, from any other."""
    return digest


@pytest.fixture(scope="session")
def _spots():
    adata = s2s.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=6)
    adata.X.data = np.log1p(adata.X.data)
    return adata


@pytest.fixture(scope="session")
def _dense(_spots):
    dense = s2s.pp.grid(_spots, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    return dense


@pytest.fixture
def fresh_spots(_spots):
    return _spots.copy()


@pytest.fixture
def fresh_dense(_dense):
    return _dense.copy()


@pytest.fixture(scope="session")
def _imputed_and_scored(_dense):
    adata = _dense.copy()
    training = s2s.tl.TrainingConfig(min_spots=0, max_epochs=1, steps_per_epoch=1, masks=1, batch_size=1)
    s2s.tl.impute(adata, training=training, natural_images=None, progress=False)
    s2s.tl.evaluate(adata)
    return adata


@pytest.fixture
def fresh_imputed(_imputed_and_scored):
    return _imputed_and_scored.copy()
