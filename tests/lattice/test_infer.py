import numpy as np
import pytest

from s2s_scverse._lattice import KINDS, bin_lattice, lattice_from_array


def patch(n_rows=12, n_cols=15, keep=0.8, seed=0):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return index[np.random.default_rng(seed).random(len(index)) < keep]


def test_one_row_keeps_its_direction():
    lattice = lattice_from_array(np.array([[4, 0], [4, 1], [4, 3]]), np.array([[0.0, 9], [10, 9], [30, 9]]))
    assert lattice.kind.name == "square"
    assert lattice.pitch == pytest.approx(10)
    np.testing.assert_allclose(lattice.coordinates, [[0, 9], [10, 9], [30, 9]], atol=1e-9)
    np.testing.assert_allclose(lattice.basis, [[0, 10], [10, 0]], atol=1e-9)


def test_bins_start_at_the_smallest_coordinates():
    cells = np.array([[0.0, 0], [9.9, 0], [10, 0], [25, 31], [0, 0]])
    lattice, bins = bin_lattice(cells, 10)
    assert lattice.array.tolist() == [[0, 0], [0, 1], [3, 2]]
    assert bins.tolist() == [0, 0, 1, 2, 0]
    np.testing.assert_allclose(lattice.coordinates, [[5, 5], [15, 5], [25, 35]])


def test_regular_subsets_are_not_taken_for_pixels():
    index = patch(30, 30, keep=1.1)
    third = index[(index[:, 0] - index[:, 1]) % 3 == 0]  # one in three of a hexagonal lattice
    kind = KINDS["hex"]
    lattice = lattice_from_array(kind.array_from_index(third), third @ np.asarray(kind.unit_basis) * 100)
    assert lattice.pitch == pytest.approx(100)
