"""Layers in a zarr folder, from values that are in memory, backed by a file or lazy."""

from dataclasses import replace

import anndata as ad
import dask.array as da
import filelock
import numpy as np
import pandas as pd
import pytest
import torch
import zarr

import s2s_scverse as s2s
from s2s_scverse._adata import _genes
from s2s_scverse._train._model import SectionModel


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(_genes, "GENE_BLOCK", 5)


@pytest.fixture(scope="module")
def exact(quick):
    """Arguments with which blocks of genes differ from whole panels by no more than rounding to float32."""
    return quick | {"training": replace(quick["training"], precision="32")}


@pytest.fixture(scope="module")
def expected(_section, exact):
    torch.set_num_threads(1)
    adata = _section.copy()
    s2s.tl.impute(adata, **exact)
    return adata.layers["s2s"], adata.layers["s2s_std"], adata.var["s2s_reliability"].to_numpy()


def same(adata, expected, atol=2e-5):
    for found, wanted in zip((adata.layers["s2s"], adata.layers["s2s_std"]), expected[:2], strict=True):
        assert isinstance(found, da.Array)
        np.testing.assert_allclose(found.compute(), wanted, atol=atol)
    np.testing.assert_allclose(adata.var["s2s_reliability"], expected[2], atol=1e-4)


def written(section, kind, form, tmp_path):
    """The section, in a file and opened from it."""
    section.X = section.X.toarray() if form == "dense" else section.X.asformat(form)
    if kind == "h5ad":
        section.write_h5ad(tmp_path / "x.h5ad")
        return ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        section.write_zarr(tmp_path / "x.zarr")
    return ad.experimental.read_lazy(tmp_path / "x.zarr")


@pytest.mark.filterwarnings("ignore:.*consolidated metadata:UserWarning")
@pytest.mark.parametrize(("kind", "form"), [("h5ad", "csc"), ("zarr", "csr"), ("zarr", "dense")])
def test_matrices_that_are_not_in_memory(section, expected, exact, kind, form, tmp_path):
    adata = written(section, kind, form, tmp_path)
    s2s.tl.impute(adata, store=tmp_path / "out", **exact)
    same(adata, expected)
    s2s.tl.interpolate(adata, "kriging")
    s2s.tl.evaluate(adata, ["s2s", "kriging"], n_bootstrap=1)
    scores = s2s.get.evaluation_df(adata).groupby("method", observed=True)["pcc"].mean()
    assert 0 < scores["s2s"] < 1
    if kind == "h5ad":
        adata.file.close()


def test_what_is_stored_is_read_by_anndata_and_goes_into_h5ad(section, tmp_path):
    s2s.tl.impute(section, store=tmp_path / "out", preset="quick", progress=False)
    group = zarr.open_group(tmp_path / "out", mode="r")
    assert {"s2s", "s2s_std"} <= set(group)
    np.testing.assert_array_equal(ad.io.read_elem(group["s2s"]), section.layers["s2s"].compute())
    section.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(back.layers["s2s"], section.layers["s2s"].compute())
    lower, upper = s2s.get.interval(back)
    assert (lower <= upper).all()


def test_some_genes_in_their_own_order_and_half_precision(section, expected, exact, tmp_path):
    genes = section.var_names[[7, 2, 11, 0, 5, 3, 9]].tolist()
    for adata, store in ((section, tmp_path / "out"), (section.copy(), None)):
        s2s.tl.impute(adata, genes, store=store, dtype="float16", **exact)
        found = np.asarray(adata.layers["s2s"])
        assert found.dtype == np.float16
        missing = ~adata.var_names.isin(genes)
        assert np.isnan(found[:, missing]).all()
        np.testing.assert_allclose(found[:, ~missing], expected[0][:, ~missing], rtol=1e-3, atol=1e-4)
        assert adata.var["s2s_reliability"].isna().tolist() == missing.tolist()


class StoppedError(Exception):
    pass


def test_an_incomplete_store_is_never_taken_for_complete(section, expected, exact, tmp_path, monkeypatch):
    before, predict, done = section.copy(), SectionModel.predict_into, []

    def stopping(*arguments):
        if len(done) == 2:
            raise StoppedError
        done.append(arguments)
        return predict(*arguments)

    arguments = {"store": tmp_path / "out", "checkpoint": tmp_path / "training", **exact}
    with monkeypatch.context() as patch:
        patch.setattr(SectionModel, "predict_into", stopping)
        with pytest.raises(StoppedError) as error:
            s2s.tl.impute(section, **arguments)
    assert error.value is not None  # as in a notebook, its frames are still there
    assert not (tmp_path / "out").exists()
    assert list(section.layers) == list(before.layers)
    pd.testing.assert_frame_equal(section.obs, before.obs)
    with monkeypatch.context() as patch:
        patch.setattr("s2s_scverse._train._lightning.TrainingPlan.training_step", None)
        s2s.tl.impute(section, **arguments)
    same(section, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "training"]


def test_a_folder_that_another_process_writes_is_left_alone(section, exact, tmp_path):
    (tmp_path / "out.partial").mkdir()
    lock = filelock.FileLock(tmp_path / "out.partial" / ".lock")
    with lock, pytest.raises(FileExistsError, match=r"out\.partial is being written by another process"):
        s2s.tl.impute(section, store=tmp_path / "out", **exact)
