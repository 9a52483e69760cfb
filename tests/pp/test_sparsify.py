import numpy as np
import pytest

import s2s_scverse as s2s


@pytest.fixture
def full(hand_drawn):
    return s2s.pp.grid(hand_drawn("###### " * 6), upsample=1)


def kept(adata):
    measured = adata.obs[adata.obs["s2s_measured"]]
    return set(zip(measured["array_row"], measured["array_col"], strict=True))


@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_regular(full, phase):
    assert s2s.pp.sparsify(full, stride=2, phase=phase) is None
    assert kept(full) == {(r, c) for r in range(phase[0], 6, 2) for c in range(phase[1], 6, 2)}
    assert full.obs["s2s_held_out"].tolist() == (~full.obs["s2s_measured"]).tolist()


def test_strides_count_spots_and_not_sites(hand_drawn):
    adata = s2s.pp.grid(hand_drawn("##### " * 5), upsample=2)
    s2s.pp.sparsify(adata, stride=2)
    assert kept(adata) == {(r, c) for r in (0, 4, 8) for c in (0, 4, 8)}
    assert adata.obs["s2s_held_out"].sum() == 16


def test_random_fraction_is_seeded(full):
    first = s2s.pp.sparsify(full, fraction=0.25, rng=1, copy=True)
    assert first.obs["s2s_measured"].sum() == 9
    assert kept(first) == kept(s2s.pp.sparsify(full, fraction=0.25, rng=np.random.default_rng(1), copy=True))
    assert kept(first) != kept(s2s.pp.sparsify(full, fraction=0.25, rng=2, copy=True))
    assert full.obs["s2s_measured"].all()
    assert "s2s_held_out" not in full.obs
