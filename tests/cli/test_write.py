"""Outputs are complete or not there, and found out to be impossible before training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import s2s_scverse as s2s
from s2s_scverse._cli._files import check_writable, read_section, replacing, write_section


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_written_over_another_and_read_also_strings_of_pandas_3(counts, tmp_path, suffix):
    write_section(counts, tmp_path / f"out{suffix}")
    adata = counts.copy()
    adata.obs.index = adata.obs_names.astype("string[pyarrow]")
    adata.obs["text"] = pd.array([None, *adata.obs_names[1:]], dtype="string")
    check_writable(adata, tmp_path / f"out{suffix}")
    write_section(adata, tmp_path / f"out{suffix}")
    found = read_section(tmp_path / f"out{suffix}")
    assert found.obs_names.tolist() == counts.obs_names.tolist()
    assert found.obs["text"].isna().tolist() == [True] + [False] * (counts.n_obs - 1)
    assert (found.X != counts.X).nnz == 0
    assert [each.name for each in tmp_path.iterdir()] == [f"out{suffix}"]


def mixed(table, *values):
    """A column of values in turn."""
    table["mix"] = np.resize(np.array(values, object), len(table))


def with_raw(adata):
    adata.raw = adata.copy()
    mixed(adata.raw.var, "1", 2)


UNWRITABLE = {
    "truth values and None": (".h5ad", lambda a: mixed(a.obs, True, None), "key 'mix' .* to /obs"),
    "a set": (".h5ad", lambda a: a.uns.__setitem__("run", {"genes": {"a", "b"}}), "key 'genes' .* to /uns/run"),
    "dates": (".zarr", lambda a: a.obs.__setitem__("day", pd.Timestamp("2024-01-01")), "key 'day' .* to /obs"),
    "raw": (".h5ad", with_raw, "key 'mix' .* to /raw/var"),
    "slashes": (".zarr", lambda a: a.var.__setitem__("CD4/CD8", 1.0), "Forward slashes"),
}


@pytest.mark.parametrize(("suffix", "change", "text"), UNWRITABLE.values(), ids=list(UNWRITABLE))
def test_what_cannot_be_written_is_named(counts, tmp_path, suffix, change, text):
    adata = counts.copy()
    change(adata)
    path = tmp_path / f"out{suffix}"
    with pytest.raises(ValueError, match=rf"cannot be written to {path}: .*{text}.*; rename, convert or drop"):
        check_writable(adata, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_failure_leaves_the_old_and_nothing_else(tmp_path, monkeypatch, folder):
    path = tmp_path / "result.zarr"
    content = path / "content" if folder else path
    if folder:
        path.mkdir()
    content.write_text("old")

    def write(error=None):
        with replacing(path) as temporary:
            new = temporary / "content" if folder else temporary
            new.parent.mkdir(exist_ok=True)
            new.write_text("new")
            if error is not None:
                raise error

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(OSError, match="disk full"):
        write(OSError("disk full"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)  # the last step
        with pytest.raises(KeyboardInterrupt):
            write()
    assert content.read_text() == "old"
    write()
    assert content.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["result.zarr"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["impute", "{}", "-o", "x.csv"], r"--output must end in \.h5ad or \.zarr, found x\.csv", id="csv"),
        pytest.param(["impute", "{}", "-o", "{}"], "--output is the input", id="input"),
        pytest.param(["evaluate", "{}", "-o", "{}"], "--output is the input", id="scores over the input"),
        pytest.param(["impute", "{}", "-o", "no/x.h5ad"], "the folder no of --output does not exist", id="no folder"),
        pytest.param(["evaluate", "{}", "-o", "no/x.csv"], "the folder no of --output does not exist", id="no folder"),
        pytest.param(["impute", "{}", "-o", "d.zarr"], r"d\.zarr is a folder and would be replaced", id="other folder"),
        pytest.param(["impute", "{}", "-o", "d.h5ad"], r"d\.h5ad is a folder and would be replaced", id="folder"),
        pytest.param(["impute", "{}", "-o", "f.zarr"], r"f\.zarr is a file, but a zarr store is a folder", id="file"),
        pytest.param(["demo", "--out-dir", "f.zarr"], "File exists", id="demo in a file"),
    ],
)
def test_refused_before_any_work(told, h5ad, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    for name in ("d.zarr", "d.h5ad"):
        (tmp_path / name).mkdir()
    (tmp_path / "f.zarr").touch()
    monkeypatch.setattr("s2s_scverse._cli._impute.read_section", None)
    told(text, *[argument.format(h5ad) for argument in arguments])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.h5ad", "d.zarr", "f.zarr"]


def test_what_cannot_be_written_is_found_before_training(told, h5ad, tmp_path, monkeypatch):
    def refuse(dense, path):
        assert dense.n_obs
        raise ValueError(f"{path} will not do")

    monkeypatch.setattr("s2s_scverse._cli._impute.check_writable", refuse)
    monkeypatch.setattr(s2s.tl, "impute", None)
    told("x.zarr will not do", "impute", h5ad, "-o", tmp_path / "x.zarr")
