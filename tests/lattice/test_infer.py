import numpy as np
import pytest

from s2s_scverse._lattice import KINDS, bin_lattice, lattice_from_array, lattice_from_coordinates


def patch(n_rows=12, n_cols=15, keep=0.8, seed=0):
    index = np.stack(np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"), axis=-1).reshape(-1, 2)
    return index[np.random.default_rng(seed).random(len(index)) < keep]


def rotation(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def test_array_positions_of_any_offset_and_spacing():
    index = patch()
    lattice = lattice_from_array(7 + 3 * index, np.stack([index[:, 1], index[:, 0]], axis=1) * 50.0 + 10)
    assert lattice.kind.name == "square"
    assert np.array_equal(lattice.array, index - index.min(axis=0))
    assert lattice.pitch == pytest.approx(50)
    np.testing.assert_allclose(lattice.basis, [[0, 50], [50, 0]], atol=1e-9)


@pytest.mark.parametrize("name", ["hex", "quincunx"])
def test_alternating_array_positions_are_told_apart_by_their_spacing(name):
    kind = KINDS[name]
    index = patch()
    array = kind.array_from_index(index)
    lattice = lattice_from_array(array + np.array([[0, 5]]), index @ np.asarray(kind.unit_basis) * 100 @ rotation(0.1))
    assert lattice.kind.name == name
    assert lattice.pitch == pytest.approx(100)
    assert lattice.array.min() == 0


def test_one_row_keeps_its_direction():
    lattice = lattice_from_array(np.array([[4, 0], [4, 1], [4, 3]]), np.array([[0.0, 9], [10, 9], [30, 9]]))
    assert lattice.kind.name == "square"
    assert lattice.pitch == pytest.approx(10)
    np.testing.assert_allclose(lattice.coordinates, [[0, 9], [10, 9], [30, 9]], atol=1e-9)
    np.testing.assert_allclose(lattice.basis, [[0, 10], [10, 0]], atol=1e-9)


@pytest.mark.parametrize("name", ["square", "hex"])
@pytest.mark.parametrize("angle", [0.0, 0.2, -0.4, 2.0])
def test_lattice_from_coordinates_finds_kind_pitch_and_positions(name, angle):
    index = patch(30, 40, 0.7)
    rng = np.random.default_rng(1)
    truth = index @ np.asarray(KINDS[name].unit_basis) @ rotation(angle) * 37
    coordinates = truth + rng.normal(scale=0.5, size=truth.shape) + [1e4, -1e4]
    lattice = lattice_from_coordinates(coordinates)
    assert lattice.kind.name == name
    assert lattice.pitch == pytest.approx(37, rel=1e-3)
    np.testing.assert_allclose(lattice.coordinates, coordinates, atol=3)
    np.testing.assert_allclose(lattice.coordinates - [1e4, -1e4], truth, atol=0.5)


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
