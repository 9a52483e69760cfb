import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import s2s_scverse as s2s
from s2s_scverse._cli import _demo
from s2s_scverse._cli._demo import stained

QUICK = ("--max-epochs", 0)


def test_impute_does_what_the_functions_do(done, h5ad, counts, tmp_path):
    (tmp_path / "genes.txt").write_text("domain_1\n\nhot_spot_1\n")
    arguments = ("-o", tmp_path / "out.h5ad", "--seed", 3, *QUICK)
    result = done("impute", h5ad, "--genes", tmp_path / "genes.txt", *arguments)
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    dense = s2s.pp.grid(counts)
    s2s.pp.normalize(dense)
    s2s.tl.impute(dense, ["domain_1", "hot_spot_1"], rng=3, max_epochs=0, progress=False)
    np.testing.assert_array_equal(found.X.toarray(), dense.X.toarray())
    for layer in ("s2s", "s2s_std"):
        np.testing.assert_array_equal(found.layers[layer], dense.layers[layer])
    assert found.uns["s2s"]["s2s"]["params"]["natural_images"] == dense.uns["s2s"]["s2s"]["params"]["natural_images"]
    lines = result.stdout.splitlines()
    new = dense.n_obs - counts.n_obs
    assert lines[0].startswith(f"Imputed 2 genes at {new} sites between {counts.n_obs} spots in ")
    assert f"{dense.var['s2s_reliability'].mean():.2f}" in lines[1]
    assert lines[2] == f"Wrote {tmp_path / 'out.h5ad'} (layer 's2s')"


def test_impute_as_json(done, h5ad, counts, tmp_path):
    arguments = ("--genes", "domain_1,hot_spot_1", "--key-added", "mine", "--as-is", "--json", "--no-uncertainty")
    result = done("impute", h5ad, "-o", tmp_path / "out.zarr", *arguments, *QUICK)
    assert "s2s: warning: values look like counts; pass --normalize" in result.stderr
    told = json.loads(result.stdout)
    found = ad.read_zarr(tmp_path / "out.zarr")
    assert told.pop("seconds") > 0
    expected = {"output": str(tmp_path / "out.zarr"), "layer": "mine", "spots": counts.n_obs, "sites": found.n_obs}
    expected |= {"genes": 2, "normalised": False, "epochs": 0, "shrinkage": 0.0, "mean_reliability": None}
    assert told == expected
    imputed = ~np.isnan(found.layers["mine"]).all(axis=0)
    assert found.var_names[imputed].tolist() == ["domain_1", "hot_spot_1"]


def test_a_layer_of_a_section_on_its_lattice(done, told, counts, tmp_path):
    dense = s2s.pp.grid(counts, upsample=3)
    dense.layers["counts"] = dense.X.copy()
    dense.X = dense.X * 0
    dense.write_h5ad(tmp_path / "dense.h5ad")
    arguments = ("impute", tmp_path / "dense.h5ad", "-o", tmp_path / "out.h5ad", "--layer", "counts", *QUICK)
    result = done(*arguments)
    assert "the section is on its lattice already" in result.stderr
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert found.obs_names.equals(dense.obs_names)
    assert (found.layers["counts"] != dense.layers["counts"]).nnz == 0
    assert found.X.max() > 0
    useless = ("--upsample", 2, "--bin-size", 9, "--fill", "hull")
    told("on its lattice already, so that --upsample, --fill, --bin-size would change nothing", *arguments, *useless)


def test_evaluate(done, h5ad, tmp_path):
    output = tmp_path / "scores.csv"
    result = done("evaluate", h5ad, "--methods", "nearest, s2s", "--fraction", 0.5, "-o", output, "--json", *QUICK)
    told = json.loads(result.stdout)
    scores = pd.read_csv(output)
    assert [row["method"] for row in told["scores"]] == ["s2s", "nearest"]  # the best first
    assert told["genes"] == scores["gene"].nunique() == 6
    assert abs(told["spots"] - told["held_out"]) <= 1
    assert told["scores"][1]["coverage"] is None
    for row in told["scores"]:
        means = scores.loc[scores["method"] == row["method"], ["pcc", "rmse", "ssim"]].mean()
        assert [row[name] for name in means.index] == pytest.approx(means.tolist(), rel=1e-6)
        assert row["seconds"] >= 0


def test_evaluate_scores_the_most_variable_detected_genes_and_says_what_is_gained(done, counts, tmp_path):
    adata = counts.copy()
    rare = np.zeros(adata.n_obs)
    rare[:3] = 1000
    adata.X = np.column_stack([adata.X.toarray()[:, :5], rare])
    adata.write_h5ad(tmp_path / "section.h5ad")
    arguments = ("--methods", "kriging,pca_kriging", "--n-top-genes", 4, "-o", tmp_path / "scores.csv")
    result = done("evaluate", tmp_path / "section.h5ad", *arguments)
    scores = pd.read_csv(tmp_path / "scores.csv").pivot_table(index="gene", columns="method", values="pcc")
    assert len(scores) == 4
    assert adata.var_names[5] not in scores.index
    gain = scores["kriging"] - scores["pca_kriging"]
    line = next(line for line in result.stdout.splitlines() if " against " in line)
    assert line.startswith(f"kriging against pca_kriging: PCC {gain.mean():+.3f} (")
    assert line.endswith(f"; higher for {(gain > 0).sum()} genes, lower for {(gain < 0).sum()}")


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        pytest.param(sc.pp.log1p, "log-normalized", "", id="logged"),
        pytest.param(lambda adata: None, "normalized", "counts without log1p", id="scaled to a total"),
        pytest.param(lambda a: (sc.pp.log1p(a), a.uns.clear(), sc.pp.log1p(a)), "logged twice", "twice", id="twice"),
        pytest.param(sc.pp.scale, "negative", "negative in part, as after sc.pp.scale", id="scaled"),
    ],
)
def test_kinds_of_values(run, tmp_path, change, kind, told):
    adata = s2s.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=40)
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.toarray()
    sc.pp.normalize_total(adata)
    change(adata)
    adata.write_h5ad(tmp_path / "section.h5ad")
    assert json.loads(run("info", tmp_path / "section.h5ad", "--json").stdout)["values"] == kind
    arguments = ("evaluate", tmp_path / "section.h5ad", "--methods", "nearest")
    warned = [line for line in run(*arguments).stderr.splitlines() if "warning" in line]
    assert len(warned) == bool(told)
    assert told in "".join(warned)
    # The counts are normalized, and nothing is said of what X was.
    assert "warning" not in run(*arguments, "--layer", "counts").stderr


def test_normalisation_does_not_look_at_hidden_spots(run, counts, tmp_path):
    dense = s2s.pp.grid(counts, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    hidden = dense.obs_names[dense.obs["s2s_held_out"].to_numpy()]
    other = counts.copy()
    other.X[other.obs_names.get_indexer(hidden)] *= 0.37
    lines = []
    for number, section in enumerate((counts, other)):
        path = tmp_path / f"{number}.h5ad"
        section.write_h5ad(path)
        result = run("evaluate", path, "--methods", "nearest", "--json")
        lines += [line.split("s2s: ")[1] for line in result.stderr.splitlines() if "scaled every spot to" in line]
    assert len(lines) == 2
    assert lines[0] == lines[1]


def test_layers_with_held_out_spots_are_scored(done, counts, tmp_path):
    dense = s2s.pp.grid(counts, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    for method in ("nearest", "kriging"):
        s2s.tl.interpolate(dense, method)
    s2s.tl.evaluate(dense, ["nearest", "kriging"])
    expected = s2s.get.evaluation_df(dense).groupby("method", observed=True)["pcc"].mean()
    dense.write_h5ad(tmp_path / "held.h5ad")
    result = done("evaluate", tmp_path / "held.h5ad", "--keys", "nearest,kriging")
    header, *rows = [line.split() for line in result.stdout.splitlines()[2:5]]
    assert header == ["method", "pcc", "spearman", "rmse", "mae", "ssim"]
    assert {row[0]: float(row[1]) for row in rows} == pytest.approx(expected.to_dict(), abs=6e-4)
    assert [row[0] for row in rows] == expected.sort_values(ascending=False).index.tolist()


def test_info(run, h5ad, counts, tmp_path):
    lines = run("info", h5ad, "--upsample", 3, "--genes", "domain_1").stdout.splitlines()
    dense = s2s.pp.grid(counts, upsample=3)
    shape = " x ".join(map(str, dense.uns["s2s"]["grid"]["shape"]))
    spots = f"{counts.n_obs} spots (one in 3 along each axis), {dense.n_obs - counts.n_obs} unmeasured sites"
    assert lines[1:3] == [f"square lattice, {shape}; {spots}", "values are counts: they would be normalized"]
    assert lines[3].endswith(" GB of memory for 1 of 6 genes")
    told = json.loads(run("info", h5ad, "--json").stdout)
    assert (told["values"], told["on_lattice"], told["imputed"], told["genes"]) == ("counts", False, 6, 6)
    assert 0 < told["gigabytes"] < 2
    dense[dense.obs["s2s_measured"]].write_h5ad(tmp_path / "measured.h5ad")
    last = run("info", tmp_path / "measured.h5ad").stdout.splitlines()[-1]
    assert last == "every site is measured: s2s impute would have nothing to do"


LONG = ",".join(f"gene_with_a_long_name_{number}" for number in range(60))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("info --genes nope", "genes not found in var_names: nope"),
        (f"info --genes {LONG}", "genes not found in var_names: gene_with_a"),
        ("info --genes Domain1,hot_spot_1", r"not found.*: Domain1; .*did you mean domain_1\?"),
        ("info --genes ,", "--genes names no gene, found ','"),
        ("info --upsample 0", "--upsample must be from 1 to 8"),
        ("info --spatial-key xy", "obsm has no 'xy', it has: spatial; pass --spatial-key"),
        ("info --library-key slide", "--library-key 'slide' not found in obs"),
        ("info --bin-size big", "--bin-size must be a number or 'auto', found 'big'"),
        ("impute -o x.h5ad --image auto", "no image found.*; pass the folder of Space Ranger, or a file with --ima"),
        ("impute -o x.h5ad --pretrained no", "no checkpoint found at no"),
        ("evaluate --methods magic", "--methods must be some of s2s, .*found magic"),
        ("evaluate --methods Krigin", r"found Krigin; did you mean kriging\?"),
        ("evaluate --fraction .5 --stride 2", "--stride and --fraction"),
        ("evaluate --fraction 2", "--fraction must lie between 0 and 1, found 2.0"),
        ("evaluate --keys ,", "--keys must name at least one layer"),
        ("evaluate --keys x --seed 1 --as-is", "--seed, --normalize would change"),
    ],
)
def test_bad_options(told, h5ad, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    command, *rest = arguments.split()
    told(text, command, h5ad, *rest)
    assert not list(tmp_path.iterdir())


def test_missing_values_are_found_before_training(told, counts, tmp_path):
    for name, value in (("nan", np.nan), ("negative", -3.5)):
        adata = counts.copy()
        adata.X.data[5] = value
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    told("NaN or infinite at measured spots", "impute", tmp_path / "nan.h5ad", "-o", tmp_path / "x.h5ad")
    arguments = (tmp_path / "negative.h5ad", "-o", tmp_path / "x.h5ad", "--normalise")
    told("negative values at measured spots; --normalize needs counts: pass --layer with", "impute", *arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("impute x -o x.h5ad --preset quikc", "'--preset': it must be one of 'default', .*did you mean quick?"),
        ("demo --preset paper", "'--preset': it must be one of 'default', 'fast', 'quick', found 'paper'"),
        ("imput x", "Did you mean 'impute'?"),
    ],
)
def test_typos_of_choices(run, arguments, text):
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert re.search(text.replace("?", r"\?"), " ".join(result.stderr.split())), result.stderr


def test_errors_are_raised_for_debugging(run, h5ad):
    assert isinstance(run("--debug", "impute", h5ad, "-o", "x.csv").exception, ValueError)


def test_entry_point(monkeypatch, capsys):
    (script,) = entry_points(group="console_scripts", name="s2s")
    monkeypatch.setattr("sys.argv", ["s2s", "--version"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with pytest.raises(SystemExit) as stopped:
        script.load()()
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"s2s {s2s.__version__}\n"
    assert os.environ.pop("NUMBA_NUM_THREADS") == "3"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(h5ad, tmp_path, number, code):
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "; from s2s_scverse._cli import main; main()"
    (tmp_path / "out.h5ad").write_text("old")
    arguments = ["impute", str(h5ad), "-o", str(tmp_path / "out.h5ad"), "--preset", "paper"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stderr:
            if "training ..." in line:
                time.sleep(0.5)
                process.send_signal(number)
    assert process.returncode == code
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.h5ad", "old")]


def write_with_image(adata, pixels, scale, path):
    adata = adata.copy()
    adata.uns["spatial"] = {"slide": {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": scale}}}
    adata.write_h5ad(path)
    return adata


def test_the_image_guides_the_imputation(run, done, counts, tmp_path):
    image = np.random.default_rng(0).integers(60, 250, (200, 200, 3), dtype=np.uint8)
    side = float(np.abs(counts.obsm["spatial"]).max()) + 1
    write_with_image(counts, image, 199 / side, tmp_path / "section.h5ad")
    told = run("info", tmp_path / "section.h5ad").output
    assert "s2s impute --image auto uses it as a covariate" in told
    assert "its stains explain hardly any (less than 1 %) of the differences in expression" in told
    options = ("--image", "auto", "--covariates", "array_row", "--preset", "quick", "--json")
    done("impute", tmp_path / "section.h5ad", "-o", tmp_path / "dense.h5ad", *options)
    dense = ad.read_h5ad(tmp_path / "dense.h5ad")
    assert dense.obsm["s2s_image"].shape == (dense.n_obs, 16)
    assert dense.uns["s2s"]["s2s"]["params"]["covariates"] == "array_row, s2s_image"


def test_the_image_is_evaluated(done, tmp_path):
    adata = s2s.datasets.simulated_tissue(n_rows=30, n_cols=30, n_genes=12)
    adata = write_with_image(adata, *stained(adata, np.random.default_rng(0)), tmp_path / "section.h5ad")
    arguments = ("evaluate", tmp_path / "section.h5ad", "--methods", "stack,kriging", "--json")
    pcc = {}
    for options in ((), ("--image", "auto", "--covariates", "array_row")):
        result = done(*arguments, *options)
        pcc[len(options)] = {row["method"]: row["pcc"] for row in json.loads(result.stdout)["scores"]}
    dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    s2s.pp.normalize(dense)
    s2s.pp.image_features(dense)
    s2s.tl.interpolate(dense, "stack", covariates=["array_row", "s2s_image"])
    s2s.tl.evaluate(dense, "stack")
    assert pcc[4]["stack"] == pytest.approx(s2s.get.evaluation_df(dense)["pcc"].mean())
    assert pcc[4]["kriging"] == pcc[0]["kriging"]


SMALL = ("--rows", 16, "--cols", 18, "--n-genes", 8, "--max-epochs", 0, "--preset", "fast")


def test_demo(done, tmp_path):
    folder = tmp_path / "new" / "folder"
    result = done("demo", "--out-dir", folder, *SMALL)
    assert sorted(path.name for path in folder.iterdir()) == ["demo.h5ad", "demo.png"]
    adata = ad.read_h5ad(folder / "demo.h5ad")
    measured, held_out = (int(adata.obs[key].sum()) for key in ("s2s_measured", "s2s_held_out"))
    first, *lines = result.stdout.splitlines()
    assert first == f"Simulated section: {measured} spots measured, {held_out} held out, 8 genes."
    told = [line.split(":")[0] for line in lines if " against " in line]
    assert told == ["s2s against kriging", "s2s against pca_kriging", "s2s against stack"]
    assert "what the network adds" not in result.stdout  # none was trained


def test_demo_with_an_image_as_json(run, tmp_path):
    result = run("-q", "demo", "--image", "--out-dir", tmp_path, "--seed", 3, "--json", *SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["seed"] == 3
    scores = [row["pcc"] for row in found["scores"]]
    assert scores == sorted(scores, reverse=True)
    assert found["files"] == {"h5ad": str(tmp_path / "demo.h5ad"), "png": str(tmp_path / "demo.png")}
    assert [gain["over"] for gain in found["gains"]] == ["kriging", "pca_kriging", "stack_without_image", "stack"]
    adata = ad.read_h5ad(tmp_path / "demo.h5ad")
    assert adata.uns["s2s"]["s2s"]["params"]["covariates"] == "s2s_image"
    assert adata.uns["spatial"]["demo"]["images"]["hires"].shape[2] == 3


def test_normalisation_of_a_spot_depends_on_no_other(monkeypatch):
    simulate = s2s.datasets.simulated_tissue
    before = _demo._simulate(16, 18, 8, 0, image=False)

    def with_other_hidden_spots(**options):
        adata = simulate(**options)
        adata.X[np.flatnonzero(before.obs["s2s_held_out"])] *= 7
        return adata

    monkeypatch.setattr(s2s.datasets, "simulated_tissue", with_other_hidden_spots)
    after = _demo._simulate(16, 18, 8, 0, image=False)
    measured = before.obs["s2s_measured"].to_numpy()
    assert (before.X[measured] != after.X[measured]).nnz == 0
