"""A full disk, or a signal while writing, is an error and no more; HDF5 left alone ends with a segmentation fault."""

import subprocess
import sys

import anndata as ad
import numpy as np
import pytest

from s2s_scverse._checks import named_layers
from s2s_scverse._cli import _disk
from s2s_scverse._cli._disk import Disk
from s2s_scverse._cli._write import write_section

# In a process of its own, which may not write files beyond a size: as on a full disk, wherever that is reached.
LIMITED = """
import resource, sys
from pathlib import Path
import anndata as ad
from s2s_scverse._cli._write import write_section

adata, path = ad.read_h5ad(sys.argv[1]), Path(sys.argv[2])
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_section(adata, path)
    except OSError as error:
        print(error)
    else:
        print("written")
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A section with two large layers."""
    path = tmp_path_factory.mktemp("large") / "section.h5ad"
    adata = ad.AnnData(np.zeros((2000, 1500), np.float32))
    for layer in ("first", "second"):
        adata.layers[layer] = np.random.default_rng(0).normal(size=adata.shape).astype(np.float32)
    adata.obs["text"] = [f"{row} of many" for row in range(adata.n_obs)]
    write_section(adata, path)
    return path


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_full_disk(large, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    size = large.stat().st_size
    limits = [0, 1000, 10_000, *(size * np.array([0.1, 0.3, 0.6, 0.9])).astype(int), size - 100]
    limits = [0, 1000] if suffix == ".zarr" else limits  # many small files
    arguments = [sys.executable, "-c", LIMITED, large, out, *limits]
    found = subprocess.run([str(each) for each in arguments], check=False, capture_output=True, text=True)
    assert found.returncode == 0
    assert "Traceback" not in found.stderr
    assert found.stdout.splitlines() == [f"[Errno 27] {out} could not be written: File too large"] * len(limits)
    assert not list(tmp_path.iterdir())


def test_the_same_file_as_anndata_writes(large, tmp_path):
    adata = ad.read_h5ad(large)
    adata.write_h5ad(tmp_path / "plain.h5ad", compression="gzip")
    plain = ad.read_h5ad(tmp_path / "plain.h5ad")
    for layer in named_layers(adata):
        np.testing.assert_array_equal(adata.layers[layer], plain.layers[layer])
    assert adata.obs.equals(plain.obs)
    assert abs(large.stat().st_size - (tmp_path / "plain.h5ad").stat().st_size) < 10_000


@pytest.mark.parametrize(("name", "code"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "SystemExit")])
def test_a_signal_while_writing(large, tmp_path, name, code):
    program = f"""
import os, signal, sys
from pathlib import Path
import anndata as ad
from s2s_scverse._cli import _disk
from s2s_scverse._cli._write import write_section

def terminate(number, frame):
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, terminate)
signal.signal(signal.SIGINT, signal.default_int_handler)
write, calls = _disk.Disk.write, []

def counted(disk, data):
    calls.append(1)
    if len(calls) == 40:
        os.kill(os.getpid(), signal.{name})
    return write(disk, data)

_disk.Disk.write = counted
try:
    write_section(ad.read_h5ad(sys.argv[1]), Path(sys.argv[2]))
except BaseException as error:
    print(type(error).__name__, signal.getsignal(signal.SIGTERM) is terminate)
"""
    arguments = [sys.executable, "-c", program, str(large), str(tmp_path / "out.h5ad")]
    found = subprocess.run(arguments, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, f"{code} True\n")
    assert "Traceback" not in found.stderr
    assert not list(tmp_path.iterdir())


def test_reads_what_it_has_written_and_kept(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), Disk(tmp_path / "file") as disk:  # noqa: PT012
        disk.write(b"abcdef")
        monkeypatch.setattr(_disk.os, "pwrite", full)
        disk.seek(4)
        disk.write(b"EFGH")
        disk.seek(-2, 1)
        disk.write(b"gh")
        assert disk.seek(0, 2) == 8
        disk.truncate(3)
        disk.seek(1)
        found = bytearray(9)
        assert disk.readinto(found) == 9
        assert bytes(found) == b"bcdEFgh\0\0"
