import numpy as np
import pytest

from s2s_scverse._lattice import KINDS, Lattice, random_sample, regular_sample
from s2s_scverse._train._pairs import dense_views, held_views, sparser_views


def square(n_rows, n_cols):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return Lattice(KINDS["square"], index, np.eye(2)[::-1], np.zeros(2))


@pytest.mark.parametrize("stride", [2, 3])
def test_sparser_lattices_are_one_in_four_of_the_spots_whatever_their_stride(stride):
    lattice = square(24, 24)
    known = regular_sample(lattice, stride, (1, 0))
    views = sparser_views(lattice, known, n=8, drop=0.3, rng=np.random.default_rng(0))
    assert len(views.lattice) == known.sum() == len(views.known)
    assert views.known.all()
    np.testing.assert_allclose(views.lattice.coordinates, lattice.coordinates[known])
    phases, dropping = set(), 0
    for visible in views.visible:
        assert views.lattice.stride(visible) % 2 == 0
        phase = tuple(views.lattice.index[visible][0] % 2)
        phases.add(phase)
        regular = regular_sample(views.lattice, 2, phase)
        assert not (visible & ~regular).any()
        assert visible.sum() >= 0.6 * regular.sum()
        dropping += visible.sum() < regular.sum()
    assert len(phases) == 4
    assert 3 <= dropping <= 5  # half of the 8 views


def test_spots_kept_aside_are_holes_and_between_the_sites_of_sparser_samples():
    lattice = square(16, 16)
    measured = regular_sample(lattice, 2, (1, 1))
    known = measured.copy()
    aside = np.flatnonzero(measured)[[3, 20, 41, 62]]
    known[aside] = False
    holes, (views, scored) = held_views(lattice, measured, known)
    assert holes[0].lattice is lattice
    assert np.array_equal(holes[0].visible, known[None])
    assert np.array_equal(holes[1], (measured & ~known)[None])
    assert len(views.lattice) == 64
    assert views.known.all()
    held = ~known[measured]
    assert not (views.visible & held).any()
    assert not (scored & ~held).any()
    for visible, of in zip(views.visible, scored, strict=True):
        phase = views.lattice.index[visible][0] % 2
        assert not np.all(views.lattice.index[of] % 2 == phase, axis=1).any()
    assert (scored.sum(axis=0)[held] == 3).all()


def test_without_a_spacing_spots_kept_aside_are_holes():
    lattice = square(12, 12)
    measured = random_sample(144, 0.4, np.random.default_rng(0))
    known = measured.copy()
    known[np.flatnonzero(measured)[:5]] = False
    ((views, scored),) = held_views(lattice, measured, known)
    assert views.lattice is lattice
    assert np.array_equal(views.visible, known[None])
    assert np.array_equal(scored, (measured & ~known)[None])


def test_random_samples_are_thinned_at_random():
    lattice = square(20, 20)
    known = random_sample(400, 0.4, np.random.default_rng(0))
    views = sparser_views(lattice, known, n=5, drop=0.3, rng=np.random.default_rng(0))
    assert views.lattice is lattice
    assert not (views.visible & ~known).any()
    assert (views.visible.sum(axis=1) == 64).all()
    assert len(np.unique(views.visible, axis=0)) == 5


def test_dense_views_hide_half_to_all_of_the_drop():
    lattice = square(20, 20)
    known = regular_sample(lattice, 2, (0, 0))
    views = dense_views(lattice, known, n=20, drop=0.3, rng=np.random.default_rng(0))
    hidden = 1 - views.visible.sum(axis=1) / known.sum()
    assert not (views.visible & ~known).any()
    assert 0.14 <= hidden.min() < 0.2
    assert 0.25 < hidden.max() <= 0.31
