import numpy as np
import pytest

from s2s_scverse._lattice import KINDS

pytestmark = pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()])


def test_symmetries_form_a_group(kind):
    elements = {tuple(matrix.ravel()) for matrix in kind.symmetries}
    assert len(elements) == len(kind.symmetries) == (12 if kind.hexagonal else 8)
    assert {tuple((a @ b).ravel()) for a in kind.symmetries for b in kind.symmetries} == elements
    assert np.array_equal(kind.symmetries[0], np.eye(2))


def test_unit_basis_has_pitch_one(kind):
    offsets = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    lengths = np.linalg.norm(offsets @ np.asarray(kind.unit_basis), axis=1)
    assert np.sum(np.isclose(lengths, 1)) == kind.n_neighbours
    assert np.sum(lengths < 0.99) == 1


def test_array_positions_round_trip(kind):
    index = np.random.default_rng(1).integers(0, 9, size=(30, 2))
    array = kind.array_from_index(index)
    assert np.array_equal(kind.index_from_array(array), index)
    if kind.name != "square":
        assert not (array.sum(axis=1) % 2).any()


def test_symmetries_keep_distances(kind):
    index = np.random.default_rng(0).integers(-5, 5, size=(20, 2))
    basis = np.asarray(kind.unit_basis)
    lengths = np.linalg.norm(index @ basis, axis=1)
    for matrix in kind.symmetries:
        np.testing.assert_allclose(np.linalg.norm(index @ matrix.T @ basis, axis=1), lengths, rtol=1e-12)
