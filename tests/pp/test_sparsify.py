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


def test_densify_then_sparsify_is_the_identity(hand_drawn):
    sparse = hand_drawn("#### #### ####", pitch=20)
    dense = s2s.pp.grid(sparse, upsample=3, fill="hull")
    dense.obs["s2s_measured"] = True
    s2s.pp.sparsify(dense, stride=3)
    assert dense.obs_names[dense.obs["s2s_measured"]].tolist() == sparse.obs_names.tolist()


def test_random_fraction_is_seeded(full):
    first = s2s.pp.sparsify(full, fraction=0.25, rng=1, copy=True)
    assert first.obs["s2s_measured"].sum() == 9
    assert kept(first) == kept(s2s.pp.sparsify(full, fraction=0.25, rng=np.random.default_rng(1), copy=True))
    assert kept(first) != kept(s2s.pp.sparsify(full, fraction=0.25, rng=2, copy=True))
    assert full.obs["s2s_measured"].all()
    assert "s2s_held_out" not in full.obs


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stride": 0}, ValueError, "stride must be at least 1, found 0"),
        ({"stride": 2.0}, TypeError, "stride must be an integer, found 2.0"),
        ({"phase": (0, 2)}, ValueError, "phase must be from 0 to 1, found 2"),
        ({"phase": 1}, ValueError, "phase must be two integers, found 1"),
        ({"phase": (0,)}, ValueError, "phase must be two integers"),
        ({"fraction": 1.0}, ValueError, "fraction must lie between 0 and 1, found 1.0"),
        ({"fraction": "a"}, TypeError, "fraction must be a number, found 'a'"),
        ({"fraction": 0.5, "rng": "a"}, TypeError, "rng must be an integer seed, a numpy Generator or None"),
        ({"fraction": 0.5, "rng": -1}, ValueError, "rng must be a seed of at least 0, found -1"),
    ],
)
def test_bad_input(full, arguments, error, message):
    before = full.obs.copy()
    with pytest.raises(error, match=message):
        s2s.pp.sparsify(full, **arguments)
    assert full.obs.equals(before)


def test_needs_a_lattice_and_visible_spots(full, hand_drawn):
    with pytest.raises(KeyError, match=r"call dense = s2s.pp.grid\(adata\) first"):
        s2s.pp.sparsify(hand_drawn("## ##"))
    s2s.pp.sparsify(full)
    with pytest.raises(ValueError, match="spots are held out already"):
        s2s.pp.sparsify(full)
    gap = s2s.pp.grid(hand_drawn("#.# ... #.#"), upsample=1, fill="all")
    with pytest.raises(ValueError, match="no spot is left with stride=3"):
        s2s.pp.sparsify(gap, stride=3, phase=(2, 2))
