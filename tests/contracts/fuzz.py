"""Gives broken files to everything that reads one. Run by test_fuzz.py, and by hand.

``python fuzz.py TARGET SECONDS FOLDER [SEED]`` with some of the names in TARGETS, commas between, or ``all``. Inputs
are files that are right, some of whose bytes are changed, cut out, doubled or exchanged between files. Every batch of
inputs is read in a process of its own, which may take 4 GB and 20 s an input. Whatever is read must either be right or
refused, see ``refused``; anything else, a crash, a hang, or a file that is written elsewhere, is printed as JSON, and
the input is kept in FOLDER. ``in_library`` counts crashes and hangs inside HDF5, which nobody can catch. guided.py
reads the same, and lets coverage choose the inputs.
"""

import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import torch
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse import _train
from s2s_scverse._cli import _probe
from s2s_scverse._cli._impute import read_genes
from s2s_scverse._cli._sections import Laying
from s2s_scverse._cli._space_ranger import COLUMNS
from s2s_scverse.datasets import _xenium
from s2s_scverse.datasets._images import find_images
from s2s_scverse.tl._layers import check_free

PACKAGE = str(Path(s2s.__file__).parent)
BATCH, SECONDS_AN_INPUT, BYTES = 50, 20, 4 * 2**30
_probe.SECONDS = 5.0
LAYING = Laying(None, "table", None, None, "spatial", None)


def whole() -> ad.AnnData:
    """A small section."""
    adata = s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6)
    adata.uns["text"], adata.obs["kind"] = (
        "some",
        pd.Categorical(["a", "b"] * (adata.n_obs // 2) + ["a"] * (adata.n_obs % 2)),
    )
    return adata


def refused(error: BaseException) -> bool:
    """Whether an error is one that says what is wrong with a file; some classes do so only where they are our own."""
    if isinstance(error, KeyError | TypeError):
        return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(PACKAGE)
    return isinstance(error, FileExistsError | FileNotFoundError | MemoryError | ValueError)


# Each makes files that are right in a folder, and says how to read what has become of them.


def h5ad(folder: Path) -> Callable[[], Any]:
    whole().write_h5ad(folder / "section.h5ad")
    return lambda: LAYING.lay(LAYING.read(folder / "section.h5ad"))


def dense_h5ad(folder: Path) -> Callable[[], Any]:
    dense = s2s.pp.grid(whole())
    dense.X = dense.X.toarray()
    dense.write_h5ad(folder / "section.h5ad", compression="gzip")
    return lambda: LAYING.lay(LAYING.read(folder / "section.h5ad"))


def zarr_folder(version: int) -> Callable[[Path], Callable[[], Any]]:
    def make(folder: Path) -> Callable[[], Any]:
        with ad.settings.override(zarr_write_format=version):
            whole().write_zarr(folder / "section.zarr")
        return lambda: LAYING.lay(LAYING.read(folder / "section.zarr"))

    return make


def matrix(folder: Path) -> Callable[[], Any]:
    adata = whole()
    counts = sparse.csr_matrix(adata.X)
    with h5py.File(folder / "matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = adata.obs_names.to_numpy().astype("S")
        group["data"], group["indices"] = counts.data.astype(np.int32), counts.indices.astype(np.int64)
        group["indptr"], group["shape"] = counts.indptr.astype(np.int64), np.array(counts.shape[::-1])
        features = group.create_group("features")
        for key in ("id", "name"):
            features[key] = adata.var_names.to_numpy().astype("S")
        features["feature_type"] = np.full(adata.n_vars, "Gene Expression").astype("S")
        features["genome"] = np.full(adata.n_vars, "x").astype("S")
    positions(adata).to_csv(folder / "tissue_positions.csv", index=False)
    return lambda: LAYING.lay(LAYING.read(folder / "matrix.h5"))


def parquet(folder: Path) -> Callable[[], Any]:
    read = matrix(folder)
    (folder / "tissue_positions.csv").unlink()
    positions(whole()).to_parquet(folder / "tissue_positions.parquet")
    return read


def positions(adata: ad.AnnData) -> pd.DataFrame:
    values = [adata.obs_names, np.ones(adata.n_obs, int), adata.obs["array_row"], adata.obs["array_col"]]
    values += list(adata.obsm["spatial"].T[::-1])
    return pd.DataFrame({name: np.asarray(each) for name, each in zip(COLUMNS, values, strict=True)})


def trained(folder: Path) -> tuple[Path, Callable[[], Any]]:
    """Make a checkpoint of two epochs, and say how to go on from it, for one more."""
    least = replace(
        _train.TRAINING_PRESETS["fast"], max_epochs=3, steps_per_epoch=1, patterns=1, batch_size=1, n_images=0
    )
    dense = s2s.pp.grid(whole())
    dense.X = np.log1p(dense.X.toarray())
    path, epochs = folder / "training", _train._trainer.Epochs

    class Interrupted(BaseException):
        pass

    class TwoEpochs(epochs):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
            if trainer.current_epoch == 2:
                raise Interrupted

    def impute() -> None:
        s2s.tl.impute(dense.copy(), training=least, progress=False, checkpoint=path, uncertainty=False)

    _train._trainer.Epochs = TwoEpochs
    try:
        impute()
    except Interrupted:
        pass
    finally:
        _train._trainer.Epochs = epochs
    return path, impute


def weights(path: Path) -> Callable[[], Any]:
    """Say how to read a checkpoint as weights to start from."""
    config = s2s.nn.CDCINConfig(**torch.load(path, weights_only=True)["s2s"]["network"])

    def read() -> None:
        s2s.nn.CDCIN(config).load_state_dict(_train._checkpoint.read_pretrained(path, "square", config))

    return read


def unpacked(path: Path, read: Callable[[], Any]) -> Callable[[], Any]:
    """Take members out of an archive, one tensor among them; pack them anew, with right checksums, to read it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.unlink()
    changed = [name for name in members if "/data/" not in name or name.endswith("/0")]
    for name in changed:
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(members[name])

    def read_again() -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                member = path.parent / name
                if name not in changed or member.exists():
                    archive.writestr(name, member.read_bytes() if name in changed else content)
        read()

    return read_again


def checkpoint(folder: Path) -> Callable[[], Any]:
    return weights(trained(folder)[0])


def members_of_weights(folder: Path) -> Callable[[], Any]:
    path, _ = trained(folder)
    return unpacked(path, weights(path))


def members_of_resumed(folder: Path) -> Callable[[], Any]:
    return unpacked(*trained(folder))


def store(folder: Path) -> Callable[[], Any]:
    dense = s2s.pp.grid(whole())
    dense.X = np.log1p(dense.X.toarray())
    s2s.tl.impute(dense, max_epochs=0, progress=False, store=folder / "layers")
    (folder / "layers").rename(folder / "layers.partial")

    def read() -> None:
        check_free(folder / "layers", "asked")
        adata = dense.copy()
        del (
            adata.layers["s2s"],
            adata.layers["s2s_std"],
            adata.uns["s2s"]["s2s"],
            adata.obs["s2s_visible"],
            adata.var["s2s_reliability"],
        )
        s2s.tl.impute(adata, max_epochs=0, progress=False, store=folder / "layers", genes=list(adata.var_names[:2]))
        shutil.rmtree(folder / "layers")

    return read


def pictures(folder: Path) -> Callable[[], Any]:
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        picture.save(folder / f"picture.{suffix}")

    def read() -> None:
        for load in find_images(folder):
            try:
                load()
            except Exception as error:
                if not refused(error):
                    raise

    return read


def genes(folder: Path) -> Callable[[], Any]:
    (folder / "genes.txt").write_text("first\nsecond\n")
    return lambda: read_genes(str(folder / "genes.txt"))


def archive(folder: Path) -> Callable[[], Any]:
    content = b"some content" * 20
    _xenium.FILES = dict.fromkeys(_xenium.FILES, sha256(content).hexdigest())
    with zipfile.ZipFile(folder / "outs.zip", "w", zipfile.ZIP_DEFLATED) as members:
        for name in _xenium.FILES:
            members.writestr(name, content)

    def read() -> None:
        for name in _xenium.FILES:
            _xenium._extract(folder / "outs.zip", name, folder)

    return read


TARGETS: dict[str, Callable[[Path], Callable[[], Any]]] = {
    "h5ad": h5ad,
    "dense_h5ad": dense_h5ad,
    "zarr_2": zarr_folder(2),
    "zarr_3": zarr_folder(3),
    "matrix": matrix,
    "parquet": parquet,
    "checkpoint": checkpoint,
    "members_of_weights": members_of_weights,
    "members_of_resumed": members_of_resumed,
    "store": store,
    "pictures": pictures,
    "genes": genes,
    "archive": archive,
}


def change(files: dict[Path, bytes], rng: np.random.Generator) -> dict[Path, bytes]:
    """Change some bytes of some files."""
    found = dict(files)
    for _ in range(int(rng.integers(1, 4))):
        path = list(found)[rng.integers(len(found))]
        content = bytearray(found[path])
        at = int(rng.integers(len(content) + 1))
        # Small steps in headers matter most.
        at = at if rng.random() < 0.5 else int(rng.integers(min(len(content), 2048) + 1))
        length = int(2 ** rng.uniform(0, 7))
        match rng.integers(8):
            case 0:
                content[at : at + length] = rng.bytes(len(content[at : at + length]))
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = content[at : at + length]
            case 3:
                del content[at:]
            case 4:
                content[at : at + 8] = int(rng.choice([0, 1, 2**31, 2**32 - 1, 2**63 - 1])).to_bytes(8, "little")
            case 5 if at < len(content):
                content[at] ^= 1 << int(rng.integers(8))
            case 6:
                other = list(found.values())[rng.integers(len(found))]
                content[at : at + length] = other[at : at + length]
            case 7 if len(files) > 3:
                del found[path]
                continue
        found[path] = bytes(content)
    return found


def lay(folder: Path, files: dict[Path, bytes]) -> None:
    """Put files into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def batch(
    read: Callable[[], Any], folder: Path, files: dict[Path, bytes], seed: int, told: int, fault: IO[str]
) -> None:
    """Read many changed inputs; what goes wrong is told in lines of JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    faulthandler.enable(fault)
    for number in range(BATCH):
        lay(folder, change(files, np.random.default_rng([seed, number])))
        os.write(told, json.dumps({"begun": number}).encode() + b"\n")
        faulthandler.dump_traceback_later(SECONDS_AN_INPUT, exit=True, file=fault)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            if not refused(error):
                where = traceback.format_exc(limit=-6)
                os.write(
                    told, json.dumps({"wrong": number, "error": repr(error)[:300], "where": where}).encode() + b"\n"
                )
        # What is asked for and refused is not taken: zarr makes room for any number of texts that a chunk promises.
        taken = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if taken > BYTES / 2:
            os.write(told, json.dumps({"wrong": number, "error": f"took {taken} bytes", "where": ""}).encode() + b"\n")
            return


def fuzz(name: str, seconds: float, kept: Path, seed: int) -> dict[str, Any]:
    """Read changed inputs for some time."""
    work = kept / name
    folder = work / "files"
    folder.mkdir(parents=True)
    read = TARGETS[name](folder)
    right = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    end, inputs, in_library, wrong = time.monotonic() + seconds, 0, 0, []
    while time.monotonic() < end:
        told, tell = os.pipe()
        process = os.fork()
        if not process:
            os.close(told)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            try:
                with (work / "fault").open("w") as fault:
                    batch(read, folder, right, seed, tell, fault)
            finally:
                os._exit(0)
        os.close(tell)
        with os.fdopen(told) as lines:
            found = [json.loads(line) for line in lines]
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        begun = sum("begun" in each for each in found)
        inputs += begun
        if status:
            where = [line.strip() for line in (work / "fault").read_text().splitlines() if line.startswith("  File")]
            if where and "/h5py/" in where[0]:
                in_library += 1
            else:
                what = f"took {SECONDS_AN_INPUT} s" if status > 0 else f"ended by {signal.Signals(-status).name}"
                found.append({"wrong": begun - 1, "error": what, "where": where[:8]})
        if beside := [path.name for path in work.iterdir() if path.name not in ("files", "fault", "wrong")]:
            found.append({"wrong": begun - 1, "error": f"wrote {beside}", "where": ""})
        for each in found:
            if "wrong" in each:
                wrong.append(each | {"seed": seed})
                lay(
                    work / "wrong" / f"{seed}_{each['wrong']}",
                    change(right, np.random.default_rng([seed, each["wrong"]])),
                )
        seed += 1
    shutil.rmtree(folder)
    return {"target": name, "inputs": inputs, "in_library": in_library, "wrong": wrong}


def main() -> None:
    """Fuzz what is asked for."""
    torch.set_num_threads(1)
    which, seconds, kept = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else int.from_bytes(os.urandom(4), "little")
    for name in TARGETS if which == "all" else which.split(","):
        sys.stdout.write(json.dumps(fuzz(name, seconds, kept, seed)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
