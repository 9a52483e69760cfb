"""Files in which HDF5 itself would crash or hang, and files and stores that would take all memory."""

import json
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._cli import _probe
from s2s_scverse._cli._read import read_section


@pytest.fixture(autouse=True)
def looked_through_here():
    """Not in this module: in a process of its own, as always."""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "section.h5ad"
    s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6).write_h5ad(path)
    return path


def test_whole_files_are_read(path):
    before = path.read_bytes()
    assert read_section(path).n_vars == 6
    assert path.read_bytes() == before


def without_end(path):
    """Text is kept in heaps; where one has but zeros in its middle, HDF5 looks for what comes next without end."""
    content = bytearray(path.read_bytes())
    second = content.find(b"0.1.0", content.find(b"GCOL")) - 16
    content[second : second + 24] = bytes(24)
    path.write_bytes(content)


def test_what_hdf5_would_never_get_through(path, monkeypatch):
    without_end(path)
    monkeypatch.setattr(_probe, "SECONDS", 4.0)
    with pytest.raises(ValueError, match=r"section\.h5ad cannot be read.* it was not got through in 4 s; where"):
        read_section(path)


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="there are no alarms on Windows")
def test_nothing_goes_on_when_whoever_waits_is_killed(path):
    without_end(path)
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-P", _probe.__file__, path, "2"])
    assert process.wait() == -signal.SIGALRM
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(1)"])
def test_what_makes_hdf5_crash(path, tmp_path, monkeypatch, ending):
    script = tmp_path / "crash.py"
    script.write_text(f"import os, signal\n{ending}\n")
    monkeypatch.setattr(_probe, "__file__", str(script))
    with pytest.raises(ValueError, match=r"section\.h5ad cannot be read.* what looked through it crashed"):
        read_section(path)


def unpacked(file):
    file.create_dataset("uns/nothing", shape=(10**10,), dtype="f8", chunks=(10**6,), compression="gzip")


def unwritten(file):
    file.create_dataset("uns/nothing", shape=(10**10,), dtype="f8")


def large_attribute(file):
    file.create_group("uns/large").attrs["nothing"] = np.zeros(10**7)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            unpacked,
            "uns/nothing says that it has 80000000000 bytes, but only 0 are there; write the section without it",
        ),
        (
            unwritten,
            "uns/nothing says that it has 80000000000 bytes, but only 0 are there; write the section without it",
        ),
        (large_attribute, "uns/large nothing is an attribute of 80000000 bytes, more than 67108864"),
    ],
)
def test_what_no_memory_would_hold(path, spoil, message):
    with h5py.File(path, "r+", libver="latest") as file:
        spoil(file)
    with pytest.raises(ValueError, match=message):
        read_section(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:.*zarr v2 data|.*autosharding|Consolidated metadata")
def test_what_no_memory_would_hold_in_zarr(tmp_path, version):
    import anndata as ad
    import zarr

    path = tmp_path / "section.zarr"
    adata = s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6)
    with ad.settings.override(zarr_write_format=version):
        adata.write_zarr(path)
    metadata = path / "obs" / "array_row" / (".zarray" if version == 2 else "zarr.json")
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"shape": [10**10]}))
    zarr.consolidate_metadata(path)
    with pytest.raises(ValueError, match=r"obs/array_row says that it has 80000000000 bytes, but only \d+ are there"):
        read_section(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:.*zarr v2 data|.*autosharding|Consolidated metadata")
def test_texts_that_no_memory_would_hold_in_zarr(tmp_path, version, monkeypatch):
    """A chunk begins with the number of its texts, and room is made for all before the first one is read."""
    import anndata as ad
    import numcodecs
    import zarr

    path = tmp_path / "section.zarr"
    adata = s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6)
    with ad.settings.override(zarr_write_format=version):
        adata.write_zarr(path)
    read_section(path)
    array = zarr.open_array(path / "var" / "_index")
    (chunk,) = [each for each in (path / "var" / "_index").rglob("*") if each.name in ("0", "c") and each.is_file()]
    codec = array.compressors[0] if version == 2 else numcodecs.Zstd()
    content = bytearray(codec.decode(chunk.read_bytes()))
    content[:4] = (2**32 - 1).to_bytes(4, "little")
    chunk.write_bytes(codec.encode(bytes(content)))
    with pytest.raises(ValueError, match=r"section\.zarr cannot be read.* var/_index unpacks to more than 4294967296"):
        read_section(path)


def undecodable(file):
    """A name that is no text."""
    file["uns"].create_group(b"\xff")


def unreadable(file):
    """An attribute of a kind that h5py does not know, on the very array that is elsewhere."""
    other = h5py.h5a.create(file["uns/stolen"].id, b"when", h5py.h5t.UNIX_D32LE, h5py.h5s.create(h5py.h5s.SCALAR))
    other.close()


@pytest.mark.parametrize("hide", [undecodable, unreadable])
def test_nothing_hides_what_is_in_other_files(path, tmp_path, hide):
    (tmp_path / "secret").write_bytes(bytes(99))
    with h5py.File(path, "r+") as file:
        file.create_dataset("uns/stolen", (9,), "f8", external=[(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)])
        hide(file)
    with pytest.raises(ValueError, match=r"uns/stolen is kept in another file|it was not got through \("):
        read_section(path)


def test_under_a_limit_of_memory(path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (3 * 10**9,) * 2); from pathlib import Path"
    )
    script += "; from s2s_scverse._cli._probe import check_through; check_through(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", script, path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_many_arrays_that_no_memory_would_hold(path):
    with h5py.File(path, "r+") as file:
        for number in range(30):
            file.create_dataset(f"uns/nothing_{number}", shape=(10**8,), dtype="f8", chunks=(10**6,))
    with pytest.raises(ValueError, match=r"all together says that it has \d+ bytes, but only \d+ are there"):
        read_section(path)
