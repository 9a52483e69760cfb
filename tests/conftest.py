"""What many tests look at: small sections, and one trained run for the whole session."""

import anndata as ad
import h5py
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import s2s_scverse as s2s


@pytest.fixture(scope="session", autouse=True)
def _threads_restored():
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _one_thread(_threads_restored):
    """Small networks are quickest on one thread, and results are the same bit for bit only on as many threads.

    Numba, which scanpy normalises with, gives torch all threads back: so it is told before every test.
    """
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def hand_drawn():
    """Build a section from a drawing: '#' is a spot, '.' nothing; counts are 10 * row + col in every gene."""

    def build(drawing, *, pitch=1.0, n_genes=2):
        rows, cols = np.array(
            [(r, c) for r, line in enumerate(drawing.split()) for c, x in enumerate(line) if x == "#"]
        ).T
        values = np.repeat((10 * rows + cols)[:, None], n_genes, axis=1) * np.arange(1, n_genes + 1)
        adata = ad.AnnData(values.astype(np.float32))
        adata.obs["array_row"], adata.obs["array_col"] = rows, cols
        adata.obsm["spatial"] = np.stack([cols, rows], axis=1) * pitch
        return adata

    return build


@pytest.fixture(scope="session")
def write_10x():
    """Write counts of cells by features into a file as 10x Genomics does."""

    def write(path, counts, cells, features, kinds):
        matrix = sparse.csr_matrix(counts)
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix")
            group["barcodes"] = np.array(cells).astype("S")
            group["data"], group["indices"] = matrix.data.astype(np.int32), matrix.indices.astype(np.int64)
            group["indptr"], group["shape"] = matrix.indptr.astype(np.int64), np.array(matrix.shape[::-1])
            made = group.create_group("features")
            made["id"] = made["name"] = np.array(features).astype("S")
            made["feature_type"] = np.array(kinds).astype("S")
            made["genome"] = np.full(len(features), b"x")

    return write


@pytest.fixture(scope="session")
def _section():
    adata = s2s.datasets.simulated_tissue(n_rows=26, n_cols=30, n_genes=12, rng=3)
    sc.pp.normalize_total(adata, target_sum=600)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    return dense


@pytest.fixture
def section(_section):
    """A small simulated section, log-normalised, three of four spots held out."""
    return _section.copy()


@pytest.fixture(scope="session")
def quick():
    """Arguments of the quickest training there is."""
    from s2s_scverse.tl import TrainingConfig

    # Not shrunken: the initial estimate alone could be the result, and tests would not see the network.
    few = {"max_epochs": 2, "steps_per_epoch": 2, "masks": 2, "batch_size": 2, "learning_rate": 7e-4}
    training = TrainingConfig(min_spots=0, shrink=False, **few)
    return {"training": training, "natural_images": None, "progress": False}


@pytest.fixture(scope="session")
def _imputed(_section, quick):
    import torch

    torch.set_num_threads(1)
    adata = _section.copy()
    s2s.tl.impute(adata, **quick)
    return adata


@pytest.fixture
def imputed(_imputed):
    """The same section after a short training."""
    return _imputed.copy()
