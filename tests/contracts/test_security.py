"""What is never done: running what a file holds, leaving the folder, following paths that a file names."""

import ast
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse._cli._read import read_section
from s2s_scverse._train._checkpoint import read_pretrained
from s2s_scverse.datasets import _xenium

PACKAGE = Path(s2s.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "subprocess", "yaml"}
UNSAFE_CALLS = {
    "exec",
    "compile",
    "system",
    "popen",
    "extractall",
    "unpack_archive",
    "read_pickle",
}


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_that_runs_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            unsafe = {name.split(".")[0] for name in names} & UNSAFE_MODULES
            # One module runs itself, see below.
            assert unsafe <= ({"subprocess"} if path.name == "_probe.py" else set())
        if isinstance(node, ast.Call):
            assert called(node) not in UNSAFE_CALLS
            # Networks have a method of that name.
            assert getattr(node.func, "id", "") not in ("eval", "__import__")
            if ast.unparse(node.func).startswith("subprocess."):
                assert ast.unparse(node.args[0]) == "command"
                assert '    command = [sys.executable, "-P", __file__, str(path), f"{allowed' in path.read_text()
            arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert arguments.get("allow_pickle", "False") == "False"
            assert arguments.get("shell", "False") == "False"
            if ast.unparse(node.func) == "torch.load":
                assert arguments["weights_only"] == "True"
            if ast.unparse(node.func) == "trainer.fit":
                assert arguments["weights_only"] == "True"


@pytest.fixture
def secret(tmp_path):
    """A file that is none of the section's business."""
    path = tmp_path / "secret"
    path.write_bytes(np.arange(1000, dtype=np.float32).tobytes())
    return path


def linked(file, secret):
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["x"] = np.ones(9)
    file["uns/stolen"] = h5py.ExternalLink(secret.with_name("other.h5"), "x")


def stored_elsewhere(file, secret):
    file.create_dataset("uns/stolen", (10,), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual(file, secret):
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["x"] = np.ones(9)
    layout = h5py.VirtualLayout((9,), "f8")
    layout[:] = h5py.VirtualSource(secret.with_name("other.h5"), "x", (9,))
    file.create_virtual_dataset("uns/stolen", layout)


@pytest.mark.parametrize("point", [linked, stored_elsewhere, virtual])
def test_other_files_are_not_read(tmp_path, secret, point):
    path = tmp_path / "section.h5ad"
    s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6).write_h5ad(path)
    read_section(path)
    with h5py.File(path, "r+") as file:
        point(file, secret)
    with pytest.raises(ValueError, match=r"uns/stolen is kept in another file, and that is not read"):
        read_section(path)


def test_archives_are_unpacked_by_the_names_that_are_known(tmp_path, monkeypatch):
    import hashlib
    import zipfile

    content = b"content"
    monkeypatch.setattr(_xenium, "FILES", {"cells.csv.gz": hashlib.sha256(content).hexdigest()})
    with zipfile.ZipFile(tmp_path / "outs.zip", "w") as archive:
        archive.writestr("../outside", b"x")
        archive.writestr(str(tmp_path / "absolute"), b"x")
        archive.writestr("cells.csv.gz", content)
    folder = tmp_path / "cache"
    folder.mkdir()
    _xenium._extract(tmp_path / "outs.zip", "cells.csv.gz", folder)
    assert [path.name for path in folder.iterdir()] == ["cells.csv.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "outs.zip"]


def test_small_archives_that_unpack_to_what_no_disk_can_hold(tmp_path, monkeypatch):
    import zipfile

    monkeypatch.setattr(_xenium, "LARGEST", 2**20)
    with zipfile.ZipFile(tmp_path / "outs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cells.csv.gz", bytes(2**24))
    assert (tmp_path / "outs.zip").stat().st_size < 2**15
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        _xenium._extract(tmp_path / "outs.zip", "cells.csv.gz", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["outs.zip"]


@pytest.mark.parametrize("suffix", ["png", "tif", "gif"])
def test_small_pictures_that_unpack_to_what_no_memory_can_hold(tmp_path, suffix):
    from PIL import Image

    if suffix == "gif":
        frames = [Image.new("L", (2**12, 2**12), color=shade) for shade in range(9)]
        frames[0].save(tmp_path / "bomb.gif", save_all=True, append_images=frames[1:])
    else:
        Image.new("L", (2**14, 2**13 + 8)).save(tmp_path / f"bomb.{suffix}", compression="tiff_lzw")
    assert (tmp_path / f"bomb.{suffix}").stat().st_size < 2**21
    with pytest.raises(ValueError, match=r"bomb\.\w+' cannot be read as an image: .*(134348800|150994944) (pix|val)"):
        s2s.datasets.natural_images(tmp_path)


def test_small_checkpoints_that_unpack_to_what_no_memory_can_hold(tmp_path):
    import zipfile

    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(2**26))
    with pytest.raises(ValueError, match=r"bomb\.ckpt is no readable checkpoint"):
        read_pretrained(path, "square", s2s.nn.CDCINConfig())


@pytest.mark.filterwarnings("ignore:.*zarr v2 data")
def test_links_in_a_store_are_not_followed(tmp_path):
    adata = s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6)
    with ad.settings.override(zarr_write_format=2):
        adata.write_zarr(tmp_path / "section.zarr")
    read_section(tmp_path / "section.zarr")
    chunk = tmp_path / "section.zarr" / "obsm" / "spatial" / "0.0"
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"obsm/spatial/0\.0 is a link to another place, and that is not read"):
        read_section(tmp_path / "section.zarr")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-30],
        lambda content: content[:60] + b"x" * 40 + content[100:],
        lambda _: b"",
        lambda _: b"x" * 99,
    ],
    ids=["cut", "changed", "empty", "no archive"],
)
def test_damaged_downloads_are_refused(tmp_path, spoil):
    import zipfile

    archive = tmp_path / "outs.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("cells.csv.gz", bytes(range(256)) * 9)
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.raises(ValueError, match=r"is not the archive expected .* holds no readable cells\.csv\.gz"):
        _xenium._extract(archive, "cells.csv.gz", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["outs.zip"]
