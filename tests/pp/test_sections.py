"""Several sections in one AnnData."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import s2s_scverse as s2s


def simulated(lattice, n_rows, n_cols, rng):
    adata = s2s.datasets.simulated_tissue(lattice=lattice, n_rows=n_rows, n_cols=n_cols, n_genes=8, rng=rng)
    sc.pp.normalize_total(adata, target_sum=600)
    sc.pp.log1p(adata)
    return adata


@pytest.fixture(scope="module")
def parts():
    return {"b c": simulated("hex", 18, 16, 1), "a": simulated("square", 20, 22, 0)}


@pytest.fixture(scope="module")
def joined(parts):
    adata = ad.concat(parts, label="slide", index_unique="-")
    # Rows of the two sections alternate: nothing may rely on sections being blocks.
    return adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()


@pytest.fixture(scope="module")
def halved(joined):
    both = s2s.pp.grid(joined, upsample=1, library_key="slide")
    s2s.pp.sparsify(both, stride=2)
    return both


@pytest.fixture(scope="module")
def imputed_both(halved, quick):
    both = halved.copy()
    s2s.tl.impute(both, **quick)
    return both


def of(dense, name):
    return dense[dense.obs["slide"] == name]


def test_interpolation_is_that_of_each_section_alone(parts, joined):
    both = s2s.pp.grid(joined, upsample=1, library_key="slide")
    s2s.pp.sparsify(both, stride=2, phase=(1, 0))
    s2s.tl.interpolate(both, "kriging")
    s2s.tl.evaluate(both, "kriging")
    pooled = s2s.get.evaluation_df(both).set_index("gene")
    scores, weights = [], []
    for name, part in parts.items():
        alone = s2s.pp.grid(part, upsample=1)
        s2s.pp.sparsify(alone, stride=2, phase=(1, 0))
        s2s.tl.interpolate(alone, "kriging")
        here = of(both, name)
        spots = [f"{spot}-{name}" for spot in part.obs_names]
        np.testing.assert_allclose(here[spots].layers["kriging"], alone[part.obs_names].layers["kriging"], atol=2e-4)
        s2s.tl.evaluate(alone, "kriging")
        scores.append(s2s.get.evaluation_df(alone).set_index("gene").loc[pooled.index])
        weights.append(alone.obs["s2s_held_out"].sum())
    for score in ("pcc", "rmse", "ssim"):
        expected = np.average([each[score] for each in scores], axis=0, weights=weights)
        np.testing.assert_allclose(pooled[score], expected, atol=2e-3)


def test_one_network_imputes_all_and_survives_h5ad(imputed_both, tmp_path):
    both = imputed_both
    assert len(s2s.get.history_df(both)) == 2
    assert np.isfinite(both.layers["s2s"]).all()
    measured = both.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(both.layers["s2s"][measured], both.X[measured].toarray())
    assert both.uns["s2s"]["s2s"]["params"]["network"]["hexagonal"]
    both.write_h5ad(tmp_path / "both.h5ad")
    again = ad.read_h5ad(tmp_path / "both.h5ad")
    s2s.tl.evaluate(again, "s2s")
    assert s2s.get.image(again, library_id="a").sizes["gene"] == 8


def test_neither_the_place_nor_held_out_values_of_a_section_reach_another(joined, imputed_both, quick, halved):
    moved = joined.copy()
    moved.obsm["spatial"] = moved.obsm["spatial"] + np.where(moved.obs["slide"] == "a", 5e5, 0)[:, None]
    both = s2s.pp.grid(moved, upsample=1, library_key="slide")
    s2s.pp.sparsify(both, stride=2)
    s2s.tl.impute(both, **quick)
    np.testing.assert_allclose(both.layers["s2s"], imputed_both.layers["s2s"], atol=1e-4)
    both = halved.copy()
    both.X = both.X.toarray()
    held = np.flatnonzero(both.obs["s2s_held_out"])
    both.X[held] = np.random.default_rng(1).random((len(held), both.n_vars))
    s2s.tl.impute(both, **quick)
    np.testing.assert_array_equal(both.layers["s2s"], imputed_both.layers["s2s"])


def test_one_section_must_be_named_where_one_is_needed(halved):
    with pytest.raises(ValueError, match=r"adata holds 2 sections \(.*\), and this needs one; pass library_id="):
        s2s.get.image(halved)
    points = of(halved, "a").obsm["spatial"][:3]
    assert s2s.get.at(halved, points, layer=None, library_id="a").shape == (3, 8)
    assert s2s.get.image(of(halved, "a")).equals(s2s.get.image(halved, library_id="a"))


def test_errors_name_the_section(joined):
    adata = joined.copy()
    here = adata.obs_names[adata.obs["slide"] == "b c"][:2]
    adata.obs.loc[here, ["array_row", "array_col"]] = 4
    with pytest.raises(ValueError, match="section 'b c': 2 spots share their array_row/array_col"):
        s2s.pp.grid(adata, library_key="slide")
    both = s2s.pp.grid(joined, upsample=1, library_key="slide")
    both.obs.loc[both.obs["slide"] == "a", "s2s_measured"] = False
    with pytest.raises(ValueError, match="no site is measured in section 'a'"):
        s2s.pp.sparsify(both)
    with pytest.raises(ValueError, match="no site of section 'a' is measured"):
        s2s.tl.interpolate(both, "linear")


def test_only_some_sections_have_array_positions(parts):
    without = parts["a"].copy()
    without.obs = without.obs[["domain"]]
    both = ad.concat({"a": without, "b c": parts["b c"]}, label="slide", index_unique="-", join="outer")
    dense = s2s.pp.grid(both, upsample=2, library_key="slide")
    sections = dense.uns["s2s"]["grid"]["sections"]
    assert [sections[name]["kind"] for name in ("a", "b c")] == ["square", "hex"]
    assert of(dense, "a").n_obs == s2s.pp.grid(parts["a"], upsample=2).n_obs


@pytest.mark.parametrize(("lattice", "uns_merge"), [("square", None), ("hex", "same"), ("hex", "first")])
def test_imputed_sections_that_were_concatenated_are_laid_out_again(lattice, uns_merge):
    parts = {}
    for seed, name in enumerate(("a", "b")):
        adata = s2s.datasets.simulated_tissue(lattice=lattice, n_rows=12, n_cols=10 + seed, n_genes=6, rng=seed)
        adata.obs["flag"] = True
        parts[name] = s2s.pp.grid(adata, upsample=2)
        s2s.tl.interpolate(parts[name], "linear")
    both = ad.concat(parts, label="sample", index_unique="-", uns_merge=uns_merge)
    for call in (s2s.pl.grid, lambda adata: s2s.tl.interpolate(adata, "linear")):
        with pytest.raises(
            (KeyError, ValueError), match=r"grid again on the spots \(.*s2s_measured.*with library_key="
        ):
            call(both)
    assert s2s.get.dense(both, "linear").shape == both.shape
    again = s2s.pp.grid(both[both.obs["s2s_measured"]], library_key="sample", upsample=2)
    assert "linear" not in again.layers
    s2s.tl.interpolate(again, "linear")
    for name, part in parts.items():
        mine = again[again.obs["sample"] == name]
        order = [np.lexsort(section.obsm["spatial"].T) for section in (mine, part)]
        np.testing.assert_allclose(mine.obsm["spatial"][order[0]], part.obsm["spatial"][order[1]], atol=1e-6)
        np.testing.assert_allclose(mine.layers["linear"][order[0]], part.layers["linear"][order[1]], atol=1e-4)
