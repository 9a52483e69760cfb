"""The benchmark's scores and masks on simulated sections."""

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import s2s_scverse as s2s

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    if not BENCHMARKS.is_dir():
        pytest.skip("no benchmarks/ beside the tests")
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def counts():
    return s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=16, n_cols=16, n_genes=12), upsample=1)


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_import_names_that_exist(script):
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("s2s_scverse"):
            module = importlib.import_module(node.module)
            assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@pytest.mark.slow
def test_the_shipped_weights_can_be_learnt_again(tmp_path, monkeypatch):
    import pretrain

    from s2s_scverse.nn._cdcin import SIMULATED, simulated_weights

    monkeypatch.setattr("sys.argv", ["pretrain", "--sections=1", "--epochs=1", f"--output={tmp_path / 'weights.npz'}"])
    pretrain.main()
    learnt, shipped = np.load(tmp_path / "weights.npz"), simulated_weights(SIMULATED)
    assert {name: array.shape for name, array in learnt.items()} == {
        name: tuple(t.shape) for name, t in shipped.items()
    }


def test_masks_are_frozen(counts):
    from protocol import MASKS, hold_out, mask_digest

    found = {}
    for mask in MASKS:
        section = counts.copy()
        hold_out(section, mask)
        found[mask] = mask_digest(section)
    assert found == GOLDEN


GOLDEN = {
    "stride 2": "adb19e01a634424e",
    "phase 0, 1": "de5cef85521e6fc2",
    "phase 1, 0": "6ba782d344072c51",
    "phase 1, 1": "5e8a07df120c7729",
    "half": "dd279a75243a7a68",
    "quarter": "42dafffa19ad864d",
    "lost corner": "72acbbc52d247e4b",
    "lost stripe": "22d4d6cd14e998b5",
    "lost hole": "295c22ba9345f7b8",
}


def test_ceiling_is_the_correlation_of_the_expression_with_its_counts():
    from metrics import noise_ceiling

    rng = np.random.default_rng(0)
    signal = rng.gamma(2, size=(400, 1))
    deep = np.hstack([rng.poisson(1e4 * signal), rng.poisson(1e4, size=(400, 3))])
    ceiling = noise_ceiling(csr_matrix(deep), np.arange(4))
    assert ceiling[0] > 0.99
    flat = rng.poisson(3, size=(400, 4))
    assert noise_ceiling(csr_matrix(flat), np.arange(1)) < 0.4
    rate = np.hstack([rng.gamma(4, 1, (3000, 2)), np.full((3000, 1), 200.0)])
    noisy = rng.poisson(rate)
    depth = noisy.sum(axis=1, keepdims=True)
    values = np.log1p(noisy * np.median(depth) / depth)[:, 0]
    found = noise_ceiling(csr_matrix(noisy), np.arange(2))[0]
    assert found == pytest.approx(np.corrcoef(np.log1p(rate[:, 0]), values)[0, 1], abs=0.06)


def test_crps_of_a_normal_distribution():
    from metrics import crps

    rng = np.random.default_rng(0)
    truth = rng.normal(size=(1, 3))
    mean, std = np.zeros((1, 3)), np.full((1, 3), 2.0)
    first, second = rng.normal(0, 2, size=(2, 400_000, 1))
    expected = np.abs(first - truth).mean(axis=0) - np.abs(first - second).mean() / 2
    assert crps(truth, mean, std) == pytest.approx(expected, abs=0.02)


def test_morans_i_of_a_checkerboard_is_minus_one():
    from metrics import morans_i

    values = np.array([1.0, -1.0, 1.0, -1.0])[:, None]
    assert morans_i(values, np.array([[0, 1], [1, 2], [2, 3]])) == pytest.approx([-1])


@pytest.mark.parametrize("method", ["gene mean", "inverse distance", "kriging", "PCA kriging", "s2s"])
def test_methods_return_an_array_of_sites_and_genes(counts, method):
    from methods import METHODS

    at = np.asarray(counts.obsm["spatial"], float) / 2
    seen = (counts.obs["array_row"] % 2 == 0).to_numpy() & (counts.obs["array_col"] % 2 == 0).to_numpy()
    values = np.log1p(counts.X[seen].toarray() if hasattr(counts.X, "toarray") else counts.X[seen])
    options = {"preset": "quick"} if method == "s2s" else {}
    totals = np.asarray(counts.X[seen].sum(axis=1)).ravel()
    found = METHODS[method](at[seen], values, at[~seen], None, totals=totals, **options)
    mean = found[0] if isinstance(found, tuple) else found
    assert np.shape(mean) == (int((~seen).sum()), counts.n_vars)
    assert np.isfinite(mean).all()
    assert np.mean(mean) == pytest.approx(values.mean(), abs=0.3)


def test_tables_of_the_pages_are_those_of_the_committed_scores():
    import report

    scores = report.load()
    for path in report.PAGES:
        page = path.read_text()
        assert "<!-- table: " in page
        assert report.filled(page, scores) == page
