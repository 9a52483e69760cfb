import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import s2s_scverse as s2s

SQUARE = "##### ##### ##### ##### #####"
SCORES = ["pcc", "spearman", "rmse", "mae", "ssim"]


@pytest.fixture
def scored(section):
    """Two methods, interpolated and scored."""
    for method in ("nearest", "linear"):
        s2s.tl.interpolate(section, method)
    s2s.tl.evaluate(section, ["nearest", "linear"])
    return section


@pytest.fixture
def foreign(section):
    """A layer that none of our functions wrote: the truth with noise."""
    noise = np.random.default_rng(0).normal(0, 0.3, section.shape)
    section.layers["other"] = (section.X.toarray() + noise).astype(np.float32)
    return section


def dense_x(adata):
    return adata.X.toarray() if sparse.issparse(adata.X) else adata.X


def by_gene(adata, method):
    table = s2s.get.evaluation_df(adata)
    return table[table["method"] == method].set_index("gene").drop(columns="method")


def same_tables(adata, other):
    for table in (s2s.get.evaluation_df, s2s.get.evaluation_summary_df, s2s.get.evaluation_tests_df):
        pd.testing.assert_frame_equal(table(adata), table(other))


def test_scores_are_those_of_numpy_and_scipy_on_held_out_spots_alone_whatever_the_order_and_blocks(
    hand_drawn, scored, monkeypatch
):
    tables = []
    for upsample in (1, 3):
        dense = s2s.pp.grid(hand_drawn(SQUARE), upsample=upsample)
        s2s.pp.sparsify(dense, stride=2)
        dense.layers["guess"] = np.zeros(dense.shape, np.float32)
        dense.layers["guess"][:25] = dense_x(dense)[:25] + np.random.default_rng(1).normal(0, 3, (25, 2))
        s2s.tl.evaluate(dense, "guess")
        tables.append(s2s.get.evaluation_df(dense))
    pd.testing.assert_frame_equal(*tables)
    rng = np.random.default_rng(0)
    shuffled = scored[rng.permutation(scored.n_obs), rng.permutation(scored.n_vars)].copy()
    s2s.tl.evaluate(shuffled, ["linear"])
    found = by_gene(shuffled, "linear").loc[scored.var_names]
    pd.testing.assert_frame_equal(found, by_gene(scored, "linear"), check_names=False)
    expected = s2s.get.evaluation_df(scored)
    monkeypatch.setattr("s2s_scverse.tl._evaluate.GENE_BLOCK", 5)
    s2s.tl.evaluate(scored, ["nearest", "linear"])
    pd.testing.assert_frame_equal(s2s.get.evaluation_df(scored), expected)
    held_out = scored.obs["s2s_held_out"].to_numpy()
    truth = dense_x(scored)[held_out].astype(float)
    for method in ("nearest", "linear"):
        found = by_gene(scored, method)
        prediction = scored.layers[method][held_out].astype(float)
        assert list(found.index) == list(scored.var_names)
        for i, gene in enumerate(scored.var_names):
            assert found.loc[gene, "pcc"] == pytest.approx(np.corrcoef(truth[:, i], prediction[:, i])[0, 1])
            assert found.loc[gene, "spearman"] == pytest.approx(stats.spearmanr(truth[:, i], prediction[:, i])[0])
        np.testing.assert_allclose(found["rmse"], np.sqrt(((truth - prediction) ** 2).mean(axis=0)))
        np.testing.assert_allclose(found["mae"], np.abs(truth - prediction).mean(axis=0))
    expected = by_gene(scored, "linear")
    scored.layers["linear"][~held_out] = np.nan
    s2s.tl.evaluate(scored, "linear")
    pd.testing.assert_frame_equal(by_gene(scored, "linear"), expected)


def test_summary_and_tests(scored):
    table, summary = s2s.get.evaluation_df(scored), s2s.get.evaluation_summary_df(scored)
    assert list(table.columns) == ["gene", "method", *SCORES]
    expected = [(method, score) for method in ("nearest", "linear") for score in SCORES]
    assert list(zip(summary["method"], summary["score"], strict=True)) == expected
    means = table.groupby("method", observed=True)[SCORES].mean()
    np.testing.assert_allclose(summary["mean"], means.to_numpy().ravel())
    assert (summary["n_genes"] == scored.n_vars).all()
    assert ((summary["lower"] < summary["mean"]) & (summary["mean"] < summary["upper"])).all()

    tests = s2s.get.evaluation_tests_df(scored).set_index("score")
    assert list(tests.index) == SCORES
    nearest, linear = by_gene(scored, "nearest"), by_gene(scored, "linear")
    for score in SCORES:
        expected = stats.wilcoxon(nearest[score], linear[score])
        assert tests.loc[score, "pvalue"] == expected.pvalue == tests.loc[score, "pvalue_holm"]
        assert tests.loc[score, "difference"] == pytest.approx((nearest - linear)[score].mean())
    s2s.tl.evaluate(scored, "linear")
    assert s2s.get.evaluation_tests_df(scored).empty


def test_constant_genes(foreign):
    foreign.X = dense_x(foreign).copy()
    foreign.X[:, 0] = foreign.layers["other"][:, 1] = 0.1  # whose mean is not 0.1
    s2s.tl.evaluate(foreign, "other")
    found = by_gene(foreign, "other")
    assert found[["pcc", "spearman", "ssim"]].iloc[0].isna().all()
    assert np.isfinite(found[["rmse", "mae"]].iloc[0]).all()
    assert (found[["pcc", "spearman"]].iloc[1] == 0).all()
    summary = s2s.get.evaluation_summary_df(foreign).set_index("score")
    assert summary["n_genes"].to_dict() == {"pcc": 11, "spearman": 11, "rmse": 12, "mae": 12, "ssim": 11}
    assert summary.loc["pcc", "mean"] == pytest.approx(found["pcc"].mean())


def test_coverage_of_methods_with_standard_deviations(foreign):
    foreign.layers["other_std"] = np.full(foreign.shape, 0.3, np.float32)
    foreign.layers["plain"] = foreign.layers["other"] + 1
    s2s.tl.evaluate(foreign, ["plain", "other"])
    assert by_gene(foreign, "plain")["coverage"].isna().all()
    assert by_gene(foreign, "other")["coverage"].mean() == pytest.approx(0.9, abs=0.02)
    foreign.layers["other_std"] *= 3
    s2s.tl.evaluate(foreign, ["other"])
    assert by_gene(foreign, "other")["coverage"].min() > 0.99
    assert list(s2s.get.evaluation_summary_df(foreign)["score"]) == [*SCORES, "coverage"]
    foreign.layers["other_std"][:, 0] = np.nan
    s2s.tl.evaluate(foreign, ["other"])
    assert by_gene(foreign, "other")["coverage"].isna().tolist() == [True] + 11 * [False]


def test_genes_that_are_not_in_every_layer_are_skipped(section):
    names = list(section.var_names)
    s2s.tl.interpolate(section, "nearest", genes=names[:4])
    s2s.tl.interpolate(section, "linear", genes=names[2:8])
    s2s.tl.evaluate(section, ["nearest", "linear"])
    assert list(by_gene(section, "linear").index) == names[2:4]
    s2s.tl.evaluate(section, ["nearest", "linear"], genes=[names[3], names[2]])
    assert list(by_gene(section, "nearest").index) == [names[3], names[2]]
    with pytest.raises(ValueError, match=f"genes not imputed in layer 'linear': {names[1]}; impute them"):
        s2s.tl.evaluate(section, ["nearest", "linear"], genes=names[1:3])
    s2s.tl.interpolate(section, "linear", genes=names[6:])
    with pytest.raises(ValueError, match="no gene is in all of the layers nearest, linear"):
        s2s.tl.evaluate(section, ["nearest", "linear"])


def test_truth_is_what_the_methods_read(section):
    section.layers["double"] = section.X * 2
    s2s.tl.interpolate(section, "linear")
    s2s.tl.interpolate(section, "linear", layer="double", key_added="doubled")
    s2s.tl.evaluate(section, "linear")
    plain = by_gene(section, "linear")
    assert section.uns["s2s"]["evaluation"]["truth"] == "X"
    s2s.tl.evaluate(section, "doubled")
    doubled = by_gene(section, "doubled")
    assert section.uns["s2s"]["evaluation"]["truth"] == "double"
    np.testing.assert_allclose(doubled["rmse"], 2 * plain["rmse"], rtol=1e-6)
    np.testing.assert_allclose(doubled["ssim"], plain["ssim"], rtol=1e-5)
    with pytest.raises(ValueError, match="made from different values"):
        s2s.tl.evaluate(section, ["linear", "doubled"])
    s2s.tl.evaluate(section, ["linear", "doubled"], layer="X")
    pd.testing.assert_frame_equal(by_gene(section, "linear"), plain)


def test_nothing_but_the_tables_is_written_and_they_survive_h5ad(section, tmp_path):
    s2s.tl.interpolate(section, "linear")
    section.layers["linear_std"] = np.ones(section.shape, np.float32)
    before = section.copy()
    copied = s2s.tl.evaluate(section, "linear", copy=True)
    assert "evaluation" not in section.uns["s2s"]
    assert s2s.tl.evaluate(section, "linear", rng=np.random.default_rng(0)) is None
    same_tables(copied, section)
    np.testing.assert_array_equal(dense_x(section), dense_x(before))
    np.testing.assert_array_equal(section.layers["linear"], before.layers["linear"])
    pd.testing.assert_frame_equal(section.obs, before.obs)
    pd.testing.assert_frame_equal(section.var, before.var)
    assert set(section.uns["s2s"]) == {"grid", "linear", "evaluation"}
    section.write_h5ad(tmp_path / "section.h5ad")
    back = ad.read_h5ad(tmp_path / "section.h5ad")
    same_tables(back, section)
    entry = back.uns["s2s"]["evaluation"]
    assert (entry["truth"], entry["n_spots"], entry["n_bootstrap"]) == ("X", section.obs["s2s_held_out"].sum(), 1000)


@pytest.mark.parametrize("quick_impute", [False, True])
def test_a_layer_that_saw_the_spots_is_refused_whatever_is_done_to_the_section(section, tmp_path, quick_impute):
    if quick_impute:
        s2s.tl.impute(section, key_added="linear", preset="quick", uncertainty=False, progress=False)
    else:
        s2s.tl.interpolate(section, "linear")
    seen, full = section.obs["s2s_measured"].to_numpy(), section.copy()
    full.obs["s2s_measured"] |= full.obs.pop("s2s_held_out")
    s2s.pp.sparsify(full, stride=2, phase=(1, 0))
    held_out = full.obs["s2s_held_out"]
    assert 0 < (held_out & seen).sum() < held_out.sum()
    text = f"layer 'linear' cannot be scored: {(held_out & seen).sum()} of {held_out.sum()} held-out spots were visible"
    with pytest.raises(ValueError, match=text):
        s2s.tl.evaluate(full, "linear")
    full.write_h5ad(tmp_path / "section.h5ad")
    rng = np.random.default_rng(0)
    renamed, scaled = full.copy(), full.copy()
    renamed.obs_names = [f"spot_{i}" for i in range(full.n_obs)]
    scaled.X = scaled.X * 2
    fewer, shuffled = full[rng.random(full.n_obs) < 0.5].copy(), full[rng.permutation(full.n_obs)].copy()
    from_file, view = ad.read_h5ad(tmp_path / "section.h5ad"), full[:, :3]
    for adata in (full[:, 3:5].copy(), fewer, shuffled, renamed, scaled, from_file, view):
        with pytest.raises(ValueError, match="held-out spots were visible to its method"):
            s2s.tl.evaluate(adata, "linear")
        assert "evaluation" not in adata.uns["s2s"]
    # Spots that were hidden before too can be scored; so can the layer made again.
    fewer = section[(np.arange(section.n_obs) % 2 == 0) | seen].copy()
    s2s.tl.evaluate(fewer, "linear")
    assert fewer.uns["s2s"]["evaluation"]["n_spots"] < section.obs["s2s_held_out"].sum()
    s2s.tl.interpolate(full, "linear")
    s2s.tl.evaluate(full, "linear")


def test_a_copy_of_the_truth_is_refused_but_no_perfect_interpolation(foreign, hand_drawn):
    foreign.layers["other"] = dense_x(foreign).astype(np.float32)
    with pytest.raises(ValueError, match="layer 'other' cannot be scored: it equals the truth at all"):
        s2s.tl.evaluate(foreign, "other")
    site = int(np.flatnonzero(foreign.obs["s2s_held_out"])[0])
    foreign.layers["other"][site] += 1
    s2s.tl.evaluate(foreign, "other")
    assert by_gene(foreign, "other")["pcc"].min() > 0.9
    foreign.X = np.zeros(foreign.shape, np.float32)
    foreign.layers["other"][:] = 0
    s2s.tl.evaluate(foreign, "other")  # genes without variation are no sign of a copy
    assert (by_gene(foreign, "other")["rmse"] == 0).all()
    dense = s2s.pp.grid(hand_drawn(SQUARE), upsample=1)
    dense.X[:] = np.where(dense.obs["array_row"] > 1, 3, 1)[:, None]
    s2s.pp.sparsify(dense, stride=2)
    s2s.tl.interpolate(dense, "nearest")
    dense.layers["nearest"][:] = dense.X
    s2s.tl.evaluate(dense, "nearest")
    assert (by_gene(dense, "nearest")["rmse"] == 0).all()


def test_missing_values(foreign):
    held_out = np.flatnonzero(foreign.obs["s2s_held_out"])
    gene = foreign.var_names[4]
    foreign.layers["other"][held_out[3], 4] = np.nan
    with pytest.raises(ValueError, match=rf"adata.layers\['other'\] is NaN or infinite at held-out spots for {gene};"):
        s2s.tl.evaluate(foreign, "other")
    s2s.tl.evaluate(foreign, "other", genes=[name for name in foreign.var_names if name != gene])
    foreign.X = dense_x(foreign).copy()
    foreign.X[held_out[0], 2] = np.inf
    with pytest.raises(ValueError, match=f"adata.X is NaN or infinite at held-out spots for {foreign.var_names[2]};"):
        s2s.tl.evaluate(foreign, "other")
