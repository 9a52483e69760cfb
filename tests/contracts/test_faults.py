"""Whatever happens, nothing incomplete is taken for complete, and the same call succeeds afterwards."""

import os
import subprocess
import sys
import time

import anndata as ad
import numpy as np
import pytest
import zarr

KILLS = int(os.environ.get("S2S_KILLS", "3"))
ENVIRONMENT = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
LAYERS = ("s2s", "s2s_std")
STORE = """
import sys, anndata as ad, s2s_scverse as s2s
from s2s_scverse._train import _fit
_fit.LEAST_GAIN = 0.0  # train the network even if it does not help
source, out, checkpoint = sys.argv[1:]
adata = ad.read_h5ad(source)
s2s.tl.impute(adata, preset="fast", max_epochs=2, progress=False, checkpoint=checkpoint, store=out)
"""
COMMAND = """
import sys
from s2s_scverse._cli import main
from s2s_scverse._train import _fit
_fit.LEAST_GAIN = 0.0
source, out, checkpoint = sys.argv[1:]
sys.argv = ["s2s", "-q", "impute", source, "-o", out, "--checkpoint", checkpoint]
sys.argv += ["--as-is", "--preset", "fast", "--max-epochs", "2"]
main()
"""


@pytest.fixture(scope="module")
def file(_section, tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "section.h5ad"
    _section.write_h5ad(path)
    return path


def start(script, *arguments, **options):
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, **options)


def finish(process):
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told


def layers(path):
    if path.suffix == ".h5ad":
        adata = ad.read_h5ad(path)
        return [adata.layers[layer] for layer in LAYERS]
    group = zarr.open_group(path, mode="r")
    group = group["layers"] if path.suffix == ".zarr" else group
    return [ad.io.read_elem(group[layer]) for layer in LAYERS]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "name"), [(STORE, "store"), (COMMAND, "out.h5ad"), (COMMAND, "out.zarr")])
def test_killed_at_random_moments(file, tmp_path, script, name):
    (tmp_path / "whole").mkdir()
    begin = time.monotonic()
    finish(start(script, file, tmp_path / "whole" / name, tmp_path / "whole" / "training"))
    lasts = time.monotonic() - begin
    expected = layers(tmp_path / "whole" / name)
    killed = 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        arguments = (script, file, folder / name, folder / "training")
        process = start(*arguments)
        time.sleep(np.random.default_rng().uniform(0.4, 1.02) * lasts)
        process.kill()
        process.communicate()
        killed += process.returncode < 0
        lasts *= 1 if process.returncode < 0 else 0.7  # the machine has become faster
        if (folder / name).exists():
            np.testing.assert_array_equal(layers(folder / name), expected)
        if script == COMMAND or not (folder / name).exists():  # an existing store is not replaced
            finish(start(*arguments))
        np.testing.assert_array_equal(layers(folder / name), expected)
    assert killed


@pytest.mark.slow
@pytest.mark.parametrize("what", ["checkpoint", "store"])
def test_a_full_disk(file, tmp_path, what):
    script = """
import resource, sys, anndata as ad, s2s_scverse as s2s
from s2s_scverse._train import _fit
_fit.LEAST_GAIN = 0.0
source, what, path = sys.argv[1:]
adata = ad.read_h5ad(source)
before = str(adata)
arguments = {"preset": "fast", "max_epochs": 1, "progress": False, what: path}
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    s2s.tl.impute(adata, **arguments)
except OSError as error:
    assert "could not be written" in str(error) and "File too large" in str(error), error
else:
    sys.exit("no error")
assert str(adata) == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
s2s.tl.impute(adata, **arguments)
"""
    finish(start(script, file, what, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
