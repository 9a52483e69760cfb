"""What users do next: squidpy's statistics, files, pictures."""

import anndata as ad
import numpy as np
import pytest

import s2s_scverse as s2s


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::SyntaxWarning")
def test_squidpy_reads_the_layer(imputed):
    import squidpy as sq

    sq.gr.spatial_neighbors(imputed, coord_type="grid", n_neighs=4)
    degree = np.diff(imputed.obsp["spatial_connectivities"].indptr)
    assert degree.max() == 4
    assert np.median(degree) == 4
    sq.gr.spatial_autocorr(imputed, layer="s2s", mode="moran", n_jobs=1, show_progress_bar=False)
    moran = imputed.uns["moranI"]["I"]
    assert moran.notna().all()
    assert moran.max() > 0.3


def test_the_whole_chain_survives_a_file(imputed, tmp_path):
    s2s.tl.interpolate(imputed, "linear")
    s2s.tl.evaluate(imputed, ["s2s", "linear"], n_bootstrap=10)
    imputed.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert s2s.get.evaluation_df(back).equals(s2s.get.evaluation_df(imputed))
    s2s.tl.evaluate(back, ["s2s", "linear"], n_bootstrap=10)
    genes = back.var_names[:2].tolist()
    assert s2s.pl.compare(back, genes, keys=["s2s", "linear"], return_fig=True) is not None
    assert s2s.get.image(back, genes, layer="linear").identical(s2s.get.image(imputed, genes, layer="linear"))
