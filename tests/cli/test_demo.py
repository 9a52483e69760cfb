import errno
import json
import os
import re
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse import _cli
from s2s_scverse._cli import _demo, _write

SMALL = ["--rows", "16", "--cols", "18", "--n-genes", "8", "--max-epochs", "1", "--preset", "fast"]
ROW = re.compile(r"^(\w+) +(-?\d\.\d{3}) +(\d\.\d{3}) +(\d\.\d{3}) +(\d+\.\d)$")


@pytest.fixture
def no_training(monkeypatch):
    """Take kriging for the network, where training is not what is tested."""
    seen = {}

    def impute(adata, **options):
        seen.update(options)
        s2s.tl.interpolate(adata, "kriging", key_added="s2s")

    monkeypatch.setattr(s2s.tl, "impute", impute)
    return seen


def test_demo_from_end_to_end(run, tmp_path, little_training):
    result = run("demo", "--out-dir", tmp_path / "new" / "folder", *SMALL)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["demo.h5ad", "demo.png"]
    lines = result.stdout.splitlines()
    adata = ad.read_h5ad(tmp_path / "new" / "folder" / "demo.h5ad")
    measured, held_out = (adata.obs[key].to_numpy() for key in ("s2s_measured", "s2s_held_out"))
    assert lines[0] == f"Simulated section: {measured.sum()} spots measured, {held_out.sum()} hidden, 8 genes."
    assert "method         PCC    RMSE     MAE   seconds" in lines
    rows = {found[1]: found for line in lines if (found := ROW.match(line))}
    assert set(rows) == {"s2s", "nearest", "linear"}
    scores = s2s.get.evaluation_df(adata)
    for method, found in rows.items():
        expected = scores.loc[scores["method"] == method, ["pcc", "rmse", "mae"]].mean()
        assert [float(found[i]) for i in (2, 3, 4)] == pytest.approx(expected.tolist(), abs=6e-4)
    assert lines[-2] == f"Wrote {tmp_path / 'new' / 'folder' / 'demo.h5ad'}"
    assert lines[-1].strip() == str(tmp_path / "new" / "folder" / "demo.png")
    np.testing.assert_array_equal(adata.layers["s2s"][measured], adata.X.toarray()[measured])
    assert (tmp_path / "new" / "folder" / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_demo_as_json(run, tmp_path, no_training):
    result = run("demo", "--out-dir", tmp_path, "--seed", 3, "--json", *SMALL)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["seed"] == 3
    assert [row["method"] for row in found["scores"]] == ["s2s", "nearest", "linear"]
    assert all(set(row) == {"method", "pcc", "rmse", "mae", "seconds"} for row in found["scores"])
    assert found["files"] == {"h5ad": str(tmp_path / "demo.h5ad"), "png": str(tmp_path / "demo.png")}
    assert no_training == {"preset": "fast", "max_epochs": 1, "rng": 3, "progress": False}


def test_methods_are_ranked(run, tmp_path, no_training):
    result = run("demo", "--out-dir", tmp_path, *SMALL)
    scores = [float(found[2]) for line in result.stdout.splitlines() if (found := ROW.match(line))]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_seed_decides_the_section():
    first, again, other = (_demo._hidden_section(16, 18, 8, seed) for seed in (0, 0, 1))
    assert (first.X != again.X).nnz == 0
    assert first.shape != other.shape or (first.X != other.X).nnz > 0


def test_normalisation_of_a_spot_depends_on_no_other(monkeypatch):
    simulate = s2s.datasets.simulated_tissue
    before = _demo._hidden_section(16, 18, 8, 0)

    def with_other_hidden_spots(**options):
        adata = simulate(**options)
        adata.X[np.flatnonzero(before.obs["s2s_held_out"])] *= 7
        return adata

    monkeypatch.setattr(s2s.datasets, "simulated_tissue", with_other_hidden_spots)
    after = _demo._hidden_section(16, 18, 8, 0)
    measured = before.obs["s2s_measured"].to_numpy()
    assert (before.X[measured] != after.X[measured]).nnz == 0


def test_files_of_an_earlier_run_are_replaced_only_by_whole_ones(run, tmp_path, no_training, monkeypatch):
    for name in ("demo.h5ad", "demo.png"):
        (tmp_path / name).write_text("old")

    def half(adata, path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_write, "_write_h5ad", half)
    result = run("-q", "demo", "--out-dir", tmp_path, *SMALL)
    assert result.exit_code == 1
    written = f"{tmp_path / 'demo.h5ad'} could not be written: No space left on device"
    assert result.stderr == f"s2s: error: [Errno {errno.ENOSPC}] {written}\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"demo.h5ad": "old", "demo.png": "old"}
    monkeypatch.undo()
    monkeypatch.setattr(s2s.tl, "impute", lambda adata, **_: s2s.tl.interpolate(adata, "kriging", key_added="s2s"))
    assert run("demo", "--out-dir", tmp_path, *SMALL).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.h5ad", "demo.png"]
    assert ad.read_h5ad(tmp_path / "demo.h5ad").n_vars == 8


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param(["--rows", "2"], r"s2s: error: n_rows must be at least 8, found 2", id="value"),
        pytest.param(["--seed", "-1"], r"s2s: error: rng must be a seed of at least 0, found -1", id="seed"),
    ],
)
def test_user_errors_are_one_line(run, tmp_path, arguments, match):
    result = run("demo", "--out-dir", tmp_path, *SMALL, *arguments)
    assert result.exit_code == 1
    assert re.fullmatch(match + r"\n", result.stderr)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [KeyError, TypeError])
def test_errors_lose_their_line_breaks_and_quotes(run, tmp_path, monkeypatch, kind):
    def fail(*_):
        msg = "no 'gene'\nhere"
        raise kind(msg)

    monkeypatch.setattr(_demo, "_hidden_section", fail)
    result = run("demo", "--out-dir", tmp_path)
    assert (result.exit_code, result.stderr) == (1, "s2s: error: no 'gene' here\n")


def test_other_errors_are_not_hidden(run, tmp_path, monkeypatch):
    monkeypatch.setattr(_demo, "_hidden_section", lambda *_: 1 / 0)
    result = run("demo", "--out-dir", tmp_path)
    assert isinstance(result.exception, ZeroDivisionError)


def test_folders_that_cannot_be_written_to_are_refused_before_any_work(run, tmp_path, monkeypatch):
    monkeypatch.setattr(_demo, "_hidden_section", lambda *_: pytest.fail("worked"))
    (tmp_path / "file").touch()
    result = run("demo", "--out-dir", tmp_path / "file")
    assert result.exit_code == 1
    assert "File exists" in result.stderr
    (tmp_path / "demo.png").mkdir()
    result = run("demo", "--out-dir", tmp_path)
    assert result.exit_code == 1
    assert "demo.png is a folder, a file of this name is to be written; choose another --out-dir" in result.stderr
    (tmp_path / "demo.png").rmdir()
    locked = SimpleNamespace(access=lambda *_: False, W_OK=os.W_OK, X_OK=os.X_OK)  # root may write anywhere
    monkeypatch.setattr("s2s_scverse._checks.os", locked)
    result = run("demo", "--out-dir", tmp_path)
    assert result.exit_code == 1
    assert "cannot write --out-dir: permission denied in" in result.stderr


def test_version_and_help(run):
    assert run("--version").stdout == f"s2s {s2s.__version__}\n"
    shown = run("demo", "--help")
    assert shown.exit_code == 0
    assert "--out-dir" in shown.stdout
    assert "--rows" not in shown.stdout
    assert run("--help").exit_code == 0


def test_usage_errors(run):
    assert run("demo", "--preset", "paper").exit_code == 2
    assert run("nope").exit_code == 2
    assert run().exit_code == 2


def test_entry_point(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["s2s", "--version"])
    with pytest.raises(SystemExit) as stopped:
        _cli.main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"s2s {s2s.__version__}\n"


def test_loading_the_command_line_is_light():
    import subprocess
    import sys

    code = "import sys, s2s_scverse._cli; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scanpy", "anndata", "matplotlib", "pandas"} & set(out.stdout.split())
