"""Numbers: nothing that is no number comes out of numbers, and threads change nothing that matters."""

from dataclasses import replace

import numpy as np
import pytest

import s2s_scverse as s2s


def one_far_off(values):
    values[np.flatnonzero(values[:, 2])[5], 2] = 1e8
    return values


@pytest.fixture(scope="module")
def small(_section):
    adata = _section[:, :6].copy()
    adata.X = adata.X.toarray()
    return adata


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(lambda x, size=size: x / x.max() * size, id=f"{size:g}") for size in (1e-30, 1e-3, 1e15)),
        pytest.param(lambda x: x + 1e6, id="far from 0"),
        pytest.param(lambda x: np.where(np.arange(6) == 0, x, [0, 1, 2, -3, 1e15, 1e-40]), id="constant but for one"),
        pytest.param(one_far_off, id="one far off"),
        pytest.param(lambda x: x * (np.arange(len(x)) % 97 == 5)[:, None], id="nearly all 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:values look like counts:UserWarning")
def test_numbers_in_numbers_out_in_half_precision(small, quick, change):
    adata = small.copy()
    adata.X = change(adata.X.astype(float)).astype(np.float32)
    s2s.tl.impute(adata, training=replace(quick["training"], precision="bf16"), progress=False, total_counts=None)
    for layer in ("s2s", "s2s_std"):
        assert np.isfinite(adata.layers[layer]).all()
    assert np.isfinite(adata.uns["s2s"]["s2s"]["history"].to_numpy(float)).all()
    measured = adata.obs["s2s_measured"].to_numpy()
    varies = adata.X[measured].var(axis=0, dtype=float) > 0
    reliability = adata.var["s2s_reliability"].to_numpy()
    assert np.isfinite(reliability[varies & (adata.X[measured].std(axis=0) > 0)]).all()
    assert np.isnan(reliability[~varies]).all()


@pytest.mark.slow
def test_two_threads_give_what_one_gives_up_to_rounding(section, quick):
    """Measured here: no difference of starting maps, 9e-7 of a standard deviation after this little training."""
    import torch
    from threadpoolctl import threadpool_limits

    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        adata = section.copy()
        with threadpool_limits(threads):
            s2s.tl.impute(adata, training=replace(quick["training"], precision="32"), progress=False)
            s2s.tl.impute(adata, preset="quick", key_added="start", progress=False)
        found.append(adata)
    hidden = section.obs["s2s_held_out"].to_numpy()
    for layer, most in (("start", 1e-5), ("start_std", 1e-5), ("s2s", 1e-3), ("s2s_std", 1e-3)):
        one, two = (adata.layers[layer][hidden] for adata in found)
        scale = found[0].layers["start"][hidden].std(axis=0).mean()
        assert np.abs(one - two).max() <= most * scale
