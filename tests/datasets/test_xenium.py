"""Downloading, checking and caching, from a server of our own on this machine."""

import gzip
import hashlib
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse.datasets import _public

COUNTS = np.array([[1, 0, 3, 7], [0, 5, 0, 7], [2, 2, 1, 7]])  # cells by features, the last one a control probe


@pytest.fixture(scope="module")
def published(write_10x, tmp_path_factory):
    """The two files and the archive that holds them, with one that tries to leave its folder."""
    folder = tmp_path_factory.mktemp("published")
    kinds = ["Gene Expression"] * 3 + ["Negative Control Probe"]
    features = ["Gad1", "Sox2", "Penk", "Blank"]
    write_10x(folder / "cell_feature_matrix.h5", COUNTS, ["1", "2", "3"], features, kinds)
    # In another order than the matrix: rows are matched by the cells' names.
    table = "cell_id,x_centroid,y_centroid\n3,30.5,3\n1,10.5,1\n2,20.5,2\n"
    (folder / "cells.csv.gz").write_bytes(gzip.compress(table.encode()))
    with zipfile.ZipFile(folder / "outs.zip", "w") as archive:
        archive.write(folder / "cell_feature_matrix.h5", "cell_feature_matrix.h5")
        archive.write(folder / "cells.csv.gz", "cells.csv.gz")
        archive.writestr("../escaped.txt", "x")
    return folder


@pytest.fixture
def server(published, monkeypatch):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    files = {name: hashlib.sha256((published / name).read_bytes()).hexdigest() for name in _public.XENIUM_FILES}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(_public, "XENIUM_URL", f"http://127.0.0.1:{running.server_port}/outs.zip")
        monkeypatch.setattr(_public, "XENIUM_FILES", files)
        yield running
        running.shutdown()
        thread.join()


def test_downloaded_once_or_if_damaged_and_read(server, tmp_path, monkeypatch):
    monkeypatch.setenv("S2S_CACHE_DIR", str(tmp_path))
    folder = tmp_path / "xenium_mouse_brain"
    folder.mkdir()
    (folder / "cells.csv.gz").write_bytes(b"damaged")
    adata = s2s.datasets.xenium_mouse_brain(progress=False)
    assert adata.var_names.tolist() == ["Gad1", "Sox2", "Penk"]
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS[:, :3])
    np.testing.assert_array_equal(adata.obsm["spatial"], [[10.5, 1], [20.5, 2], [30.5, 3]])
    assert sorted(path.name for path in folder.iterdir()) == sorted(_public.XENIUM_FILES)
    assert not (tmp_path / "escaped.txt").exists()
    monkeypatch.setattr(_public, "XENIUM_URL", "http://127.0.0.1:9/gone.zip")
    again = s2s.datasets.xenium_mouse_brain(cache_dir=folder)
    np.testing.assert_array_equal(again.X.toarray(), adata.X.toarray())


def test_offline_the_error_says_what_goes_where(tmp_path, monkeypatch):
    monkeypatch.setattr(_public, "XENIUM_URL", "http://127.0.0.1:9/outs.zip")
    with pytest.raises(ConnectionError, match=r"could not download .*outs.zip .*cells.csv.gz \(SHA-256 9fbeb.* into /"):
        s2s.datasets.xenium_mouse_brain(cache_dir=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("archive", "digest", "text"),
    [
        ("outs.zip", "0" * 64, r"cell_feature_matrix.h5 of .* is not the published file: SHA-256"),
        ("cells.csv.gz", "", "is not the archive expected"),
    ],
)
def test_other_files_are_refused_and_not_kept(server, tmp_path, monkeypatch, archive, digest, text):
    monkeypatch.setattr(_public, "XENIUM_FILES", dict.fromkeys(_public.XENIUM_FILES, digest))
    monkeypatch.setattr(_public, "XENIUM_URL", _public.XENIUM_URL.replace("outs.zip", archive))
    with pytest.raises(ValueError, match=text):
        s2s.datasets.xenium_mouse_brain(cache_dir=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())
