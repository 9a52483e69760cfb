import json
import logging
import os
import signal
import subprocess
import sys
import time

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import s2s_scverse as s2s


def test_impute_does_what_the_functions_do(run, h5ad, counts, tmp_path, little_training):
    result = run("impute", h5ad, "-o", tmp_path / "out.h5ad", "--seed", 3, "--genes", "domain_1,hot_spot_1")
    assert result.exit_code == 0, result.output
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    adata = counts.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    dense = s2s.pp.grid(adata)
    s2s.tl.impute(dense, ["domain_1", "hot_spot_1"], rng=3, progress=False)
    np.testing.assert_allclose(found.X.toarray(), dense.X.toarray(), rtol=1e-5)
    for layer in ("s2s", "s2s_std"):
        np.testing.assert_allclose(found.layers[layer], dense.layers[layer], atol=2e-3)
    measured = int(found.obs["s2s_measured"].sum())
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"Imputed 2 genes at {found.n_obs - measured} sites between {measured} spots in ")
    assert lines[-1] == f"Wrote {tmp_path / 'out.h5ad'} (layer 's2s')"
    reliability = found.var["s2s_reliability"].mean()
    assert f"Expected correlation with what would be measured there: {reliability:.2f}" in lines[1]


def test_impute_as_json(run, h5ad, counts, tmp_path, little_training):
    (tmp_path / "genes.txt").write_text("domain_1\n\nhot_spot_1\n")
    arguments = ("--genes", tmp_path / "genes.txt", "--key-added", "mine", "--as-is", "--json", "--no-uncertainty")
    result = run("impute", h5ad, "-o", tmp_path / "out.zarr", *arguments)
    assert result.exit_code == 0, result.output
    assert "s2s: warning: values look like counts; call s2s.pp.normalize" in result.stderr
    told = json.loads(result.stdout)
    found = ad.read_zarr(tmp_path / "out.zarr")
    assert told.pop("seconds") > 0
    assert told == {
        "output": str(tmp_path / "out.zarr"),
        "layer": "mine",
        "spots": counts.n_obs,
        "sites": found.n_obs,
        "genes": 2,
        "normalised": False,
        "epochs": 1,
        "gate": found.uns["s2s"]["mine"]["gate"],
        "mean_reliability": None,
    }
    imputed = ~np.isnan(found.layers["mine"]).all(axis=0)
    assert found.var_names[imputed].tolist() == ["domain_1", "hot_spot_1"]


def test_what_cannot_be_written_is_found_before_training(run, counts, tmp_path, monkeypatch):
    adata = counts.copy()
    adata.obs["ratio"] = 1.0
    adata.write_h5ad(tmp_path / "section.h5ad")
    with h5py.File(tmp_path / "section.h5ad", "r+") as file:  # as older versions of anndata have written it
        columns = file["obs"].attrs["column-order"]
        file["obs"].attrs["column-order"] = [name.replace("ratio", "CD4/CD8") for name in columns]
        file["obs"].move("ratio", "CD4/CD8")
    monkeypatch.setattr(s2s.tl, "impute", None)
    result = run("-q", "impute", tmp_path / "section.h5ad", "-o", tmp_path / "out.zarr")
    assert result.exit_code == 1
    assert f"obs/CD4/CD8 cannot be written to {tmp_path / 'out.zarr'}: Forward slashes" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["section.h5ad"]


def test_genes_are_found_by_other_names(run, counts, tmp_path):
    adata = counts.copy()
    adata.var["gene_ids"] = [f"ENSG{number}" for number in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "section.h5ad")
    told = run("-q", "info", tmp_path / "section.h5ad", "--genes", "ENSG3").stderr
    assert "genes not found in adata.var_names: ENSG3; " in told
    assert "adata.var['gene_ids'] has some of them: pass the names of its rows" in told


def test_a_section_on_its_lattice_stays_on_it(run, counts, tmp_path, little_training):
    dense = s2s.pp.grid(counts, upsample=3)
    dense.write_h5ad(tmp_path / "dense.h5ad")
    result = run("impute", tmp_path / "dense.h5ad", "-o", tmp_path / "out.h5ad", "--max-epochs", 0)
    assert result.exit_code == 0, result.output
    assert ad.read_h5ad(tmp_path / "out.h5ad").obs_names.equals(dense.obs_names)
    assert "it is on its lattice already" in result.stderr


@pytest.mark.parametrize("option", [("--upsample", "2"), ("--bin-size", "9"), ("--fill", "hull")], ids=lambda x: x[0])
def test_what_would_change_nothing_is_refused(run, counts, tmp_path, option):
    s2s.pp.grid(counts).write_h5ad(tmp_path / "dense.h5ad")
    result = run("impute", tmp_path / "dense.h5ad", "-o", tmp_path / "out.h5ad", *option)
    assert result.exit_code == 1
    assert f"on its lattice already, where {option[0]} would change nothing" in result.stderr


def test_layers_are_read_and_left_alone(run, counts, tmp_path, little_training):
    dense = s2s.pp.grid(counts)
    dense.layers["counts"] = dense.X.copy()
    dense.X = dense.X * 0
    dense.write_h5ad(tmp_path / "dense.h5ad")
    result = run("impute", tmp_path / "dense.h5ad", "-o", tmp_path / "out.h5ad", "--layer", "counts", "--max-epochs", 0)
    assert result.exit_code == 0, result.output
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert (found.layers["counts"] != dense.layers["counts"]).nnz == 0
    assert found.X.max() > 0
    assert not np.array_equal(found.X.data, found.layers["counts"].data)


def test_long_lists_of_genes(run, h5ad, tmp_path):
    names = ",".join(f"gene_with_a_long_name_{number}" for number in range(60))
    result = run("-q", "impute", h5ad, "-o", tmp_path / "out.h5ad", "--genes", names)
    assert result.exit_code == 1
    assert "genes not found in adata.var_names: gene_with_a_long_name_0" in result.stderr


def test_evaluate(run, h5ad, tmp_path, little_training):
    output = tmp_path / "scores.csv"
    result = run("evaluate", h5ad, "--methods", "kriging, s2s", "--fraction", 0.5, "-o", output, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    scores = pd.read_csv(output)
    assert [row["method"] for row in told["scores"]] == ["kriging", "s2s"]
    assert told["genes"] == scores["gene"].nunique() == 6
    assert abs(told["spots"] - told["held_out"]) <= 1
    for row in told["scores"]:
        means = scores.loc[scores["method"] == row["method"], ["pcc", "rmse", "ssim"]].mean()
        assert [row[name] for name in means.index] == pytest.approx(means.tolist(), rel=1e-6)
        assert row["seconds"] >= 0


@pytest.mark.parametrize("factor", [10, 0.37, -1])
def test_normalisation_does_not_look_at_hidden_spots(run, counts, tmp_path, factor):
    first = counts.copy()
    dense = s2s.pp.grid(first, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    hidden = dense.obs_names[dense.obs["s2s_held_out"].to_numpy()]
    second = counts.copy()
    second.X[second.obs_names.get_indexer(hidden)] *= factor
    tables = []
    for number, section in enumerate((first, second)):
        path = tmp_path / f"{number}.h5ad"
        section.write_h5ad(path)
        result = run("evaluate", path, "--methods", "nearest", "--json")
        tables.append(result.stderr)
    assert "scaled every spot to" in tables[0]
    lines = [next(line for line in table.splitlines() if "scaled" in line).split("s2s: ")[1] for table in tables]
    assert lines[0] == lines[1]


def test_layers_with_held_out_spots_are_scored(run, counts, tmp_path):
    dense = s2s.pp.grid(counts, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    for method in ("nearest", "kriging"):
        s2s.tl.interpolate(dense, method)
    s2s.tl.evaluate(dense, ["nearest", "kriging"])
    expected = s2s.get.evaluation_df(dense).groupby("method", observed=True)["pcc"].mean()
    dense.write_h5ad(tmp_path / "held.h5ad")
    result = run("evaluate", tmp_path / "held.h5ad", "--keys", "nearest,kriging")
    assert result.exit_code == 0, result.output
    rows = dict(line.split()[:2] for line in result.stdout.splitlines()[3:])
    assert {name: float(value) for name, value in rows.items()} == pytest.approx(expected.to_dict(), abs=6e-4)
    assert list(rows) == expected.sort_values(ascending=False).index.tolist()


def test_info(run, h5ad, counts):
    result = run("info", h5ad, "--upsample", 3)
    dense = s2s.pp.grid(counts, upsample=3)
    lines = result.stdout.splitlines()
    assert lines[0] == f"{counts.n_obs} observations, 6 genes"
    shape = " x ".join(map(str, dense.uns["s2s"]["grid"]["shape"]))
    spots = f"{counts.n_obs} spots (one in 3 along each axis), {dense.n_obs - counts.n_obs} unmeasured sites"
    assert lines[1] == f"square lattice, {shape}; {spots}"
    assert lines[2].startswith("values are counts")
    assert lines[3].startswith("s2s impute, preset 'default': about ")
    told = json.loads(run("info", h5ad, "--json").stdout)
    assert told["counts"]
    assert not told["on_lattice"]
    assert told["sections"][0]["lattice"] == "square"
    assert told["seconds"] > 5


def test_info_of_some_genes_and_of_nothing_to_impute(run, h5ad, counts, tmp_path):
    some, every = (json.loads(run("info", h5ad, "--json", *more).stdout) for more in (["--genes", "domain_1"], []))
    assert (some["imputed"], every["imputed"], some["genes"]) == (1, 6, 6)
    assert "s2s impute, 1 of 6 genes, preset" in run("info", h5ad, "--genes", "domain_1").stdout
    dense = s2s.pp.grid(counts)
    dense[dense.obs["s2s_measured"]].write_h5ad(tmp_path / "measured.h5ad")
    result = run("info", tmp_path / "measured.h5ad")
    assert result.stdout.splitlines()[-1] == "every site is measured: s2s impute would have nothing to do"
    assert "genes not found in adata.var_names: nope" in run("info", h5ad, "--genes", "nope").stderr


def test_info_of_several_sections(run, counts, tmp_path):
    both = ad.concat([counts, counts[:200]], label="slide", keys=["a", "b"], index_unique="-")
    both.write_h5ad(tmp_path / "both.h5ad")
    result = run("info", tmp_path / "both.h5ad", "--library-key", "slide")
    assert [line.split(":")[0] for line in result.stdout.splitlines()[1:3]] == ["section 'a'", "section 'b'"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param(["impute", "{}", "-o", "x.csv"], "--output must end in .h5ad or .zarr, found x.csv", id="output"),
        pytest.param(["impute", "{}", "-o", "{}"], "--output is the input", id="input"),
        pytest.param(["impute", "none.h5ad", "-o", "x.h5ad"], "none.h5ad does not exist; expected an .h5ad", id="none"),
        pytest.param(
            ["impute", "{}", "-o", "no/x.h5ad"], "the folder no of --output does not exist; make it first", id="folder"
        ),
        pytest.param(
            ["impute", "{}", "-o", "x.h5ad", "--genes", "nope"], "genes not found in adata.var_names: nope", id="gene"
        ),
        pytest.param(
            ["impute", "{}", "-o", "x.h5ad", "--genes", ","], "--genes names no gene, found ','", id="no gene"
        ),
        pytest.param(
            ["impute", "{}", "-o", "x.h5ad", "--upsample", "0"], "upsample must be from 1 to 8", id="upsample"
        ),
        pytest.param(["impute", "{}", "-o", "x.h5ad", "--device", "tpu9"], "tpu9", id="device"),
        pytest.param(["impute", "{}", "-o", "x.h5ad", "--layer", "no"], "layer 'no' not found", id="layer"),
        pytest.param(
            ["info", "{}", "--bin-size", "big"], "--bin-size must be a number or 'auto', found 'big'", id="bins"
        ),
        pytest.param(["evaluate", "{}", "--methods", "magic"], "--methods must be some of s2s, nearest", id="method"),
        pytest.param(["evaluate", "{}", "-o", "{}"], "--output is the input", id="csv over the input"),
        pytest.param(["evaluate", "{}", "-o", "."], ". is a folder, a file of this name is to be written", id="folder"),
        pytest.param(["evaluate", "{}", "--fraction", ".5", "--stride", "2"], "--stride and --fraction", id="both"),
        pytest.param(["evaluate", "{}", "--keys", ","], "keys must name at least one layer", id="no keys"),
        pytest.param(
            ["evaluate", "{}", "--fraction", "2"], "fraction must lie between 0 and 1, found 2.0", id="fraction"
        ),
        pytest.param(
            ["evaluate", "{}", "--keys", "x", "--seed", "1", "--as-is", "--methods", "s2s"],
            "layers of --keys are scored as they are, where --methods, --seed, --normalise would change nothing",
            id="keys and more",
        ),
        pytest.param(["evaluate", "{}", "--keys", "s2s"], "layers not found: s2s", id="keys"),
        pytest.param(
            ["evaluate", "{}", "-o", "no/x.csv"], "the folder no of --output does not exist; make it first", id="csv"
        ),
    ],
)
def test_bad_input_is_told_in_one_line(run, h5ad, tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    result = run("-q", *[argument.format(h5ad) for argument in arguments])
    assert result.exit_code == 1
    assert match in result.stderr
    assert result.stderr.startswith("s2s: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_wrong_usage(run, h5ad):
    assert run("impute", h5ad).exit_code == 2
    assert run("impute", h5ad, "-o", "x.h5ad", "--preset", "best").exit_code == 2


def test_debug_shows_where_errors_come_from(run, h5ad):
    result = run("--debug", "impute", h5ad, "-o", "x.csv")
    assert isinstance(result.exception, ValueError)


def test_lines_in_a_log(run, h5ad, tmp_path, little_training):
    logger = logging.getLogger("s2s_scverse")
    before = (logger.level, list(logger.handlers))
    result = run("impute", h5ad, "-o", tmp_path / "out.h5ad")
    told = [line.split(" s2s: ")[1] for line in result.stderr.splitlines()]
    begun = [line.split(":")[0] for line in told if ": about" in line]
    assert begun == ["starting maps", "training", "errors", "imputing"]
    assert any(line.endswith(" GB") and "spots" in line for line in told)
    assert (logger.level, logger.handlers) == before
    assert run("-q", "impute", h5ad, "-o", tmp_path / "out.h5ad").stderr == ""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OMP_NUM_THREADS": "1"}, "1"),
        ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}, "2"),
        ({}, "None"),
    ],
)
def test_numba_gets_the_threads_that_torch_gets(variables, expected):
    code = """
import os, sys
from s2s_scverse._cli import main
sys.argv = ["s2s", "--version"]
try:
    main()
finally:
    print(os.environ.get("NUMBA_NUM_THREADS"))
"""
    others = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = subprocess.run(
        [sys.executable, "-c", code], env=others | variables, capture_output=True, text=True, check=True
    )
    assert found.stdout.split()[-1] == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(h5ad, tmp_path, number, code):
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "; from s2s_scverse._cli import main; main()"
    command = [sys.executable, "-c", program, "impute", str(h5ad), "-o"]
    (tmp_path / "out.h5ad").write_text("old")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command.append(str(tmp_path / "out.h5ad"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stderr:
            if "training: about" in line:
                time.sleep(0.5)
                process.send_signal(number)
    assert process.returncode == code
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.h5ad", "old")]
