import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_scverse._lattice import KINDS, Lattice, bin_lattice, fill_sites, lattice_from_array, regular_sample

BASIS = np.array([[0.0, 2.0], [2.0, 0.0]])


def square(index):
    return Lattice(KINDS["square"], np.asarray(index), BASIS, np.array([5.0, 7.0]))


def test_raster_and_stride():
    gather, tissue = square([[0, 0], [0, 3], [2, 0]]).raster()
    assert gather.shape == (3, 4)
    assert tissue.sum() == 3
    assert gather[[0, 0, 1, 2], [0, 3, 3, 1]].tolist() == [0, 1, 1, 2]
    lattice = square(np.argwhere(np.ones((9, 9))))
    for stride in (1, 2, 3):
        measured = regular_sample(lattice, stride, (stride - 1, 0))
        assert lattice.stride(measured) == stride
    measured[:] = False
    measured[40] = True
    assert lattice.stride(measured) == 1


@given(
    name=st.sampled_from(sorted(KINDS)),
    cells=st.sets(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=40),
    factor=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_index_survives_image_densify_and_symmetry(name, cells, factor):
    lattice = Lattice(KINDS[name], np.array(sorted(cells)), np.array([[1.0, 0.2], [-0.1, 1.5]]), np.zeros(2))
    gather, _ = lattice.raster()
    sites = np.arange(len(lattice))
    assert np.array_equal(gather.ravel()[lattice.position], sites)  # sites -> image -> sites

    dense = lattice.densified(factor)
    np.testing.assert_allclose(dense.coordinates, lattice.coordinates, atol=1e-9)
    assert np.array_equal(dense.coarsened(factor).index - lattice.index, np.zeros_like(lattice.index))
    assert dense.stride(np.ones(len(lattice), bool)) % factor == 0 or len(lattice) == 1

    array = lattice.kind.array_from_index(lattice.index)
    assert np.array_equal(lattice.kind.index_from_array(array), lattice.index)
    assert name == "square" or not (array.sum(axis=1) % 2).any()
    for symmetry in lattice.kind.symmetries:
        turned = lattice.transformed(symmetry)
        assert np.array_equal(turned.transformed(np.linalg.inv(symmetry).round().astype(int)).index, lattice.index)
        assert np.array_equal(turned.raster()[0].ravel()[turned.position], sites)


def test_lattices_by_hand():
    lattice = lattice_from_array(np.array([[4, 0], [4, 1], [4, 3]]), np.array([[0.0, 9], [10, 9], [30, 9]]))
    assert lattice.kind.name == "square"
    assert lattice.pitch == pytest.approx(10)
    np.testing.assert_allclose(lattice.coordinates, [[0, 9], [10, 9], [30, 9]], atol=1e-9)
    np.testing.assert_allclose(lattice.basis, [[0, 10], [10, 0]], atol=1e-9)
    cells = np.array([[0.0, 0], [9.9, 0], [10, 0], [25, 31], [0, 0]])
    lattice, bins = bin_lattice(cells, 10)
    assert lattice.array.tolist() == [[0, 0], [0, 1], [3, 2]]
    assert bins.tolist() == [0, 0, 1, 2, 0]
    np.testing.assert_allclose(lattice.coordinates, [[5, 5], [15, 5], [25, 35]])
    index = np.argwhere(np.ones((30, 30)))
    third = index[(index[:, 0] - index[:, 1]) % 3 == 0]  # one in three of a hexagonal lattice
    kind = KINDS["hex"]
    lattice = lattice_from_array(kind.array_from_index(third), third @ np.asarray(kind.unit_basis) * 100)
    assert lattice.pitch == pytest.approx(100)


def drawn(text, factor=1):
    index = np.array([(r, c) for r, line in enumerate(text.split()) for c, x in enumerate(line) if x == "#"])
    return Lattice(KINDS["square"], index, np.eye(2)[::-1], np.zeros(2)).densified(factor)


def filled(text, factor=1, fill="tissue"):
    return {tuple(site) for site in fill_sites(drawn(text, factor), factor=factor, fill=fill).tolist()}


CORNERS = "#...\n....\n....\n#..#"


@pytest.mark.parametrize(
    ("text", "factor", "fill", "expected"),
    [
        ("#######\n#######\n###.###\n#######\n#######", 1, "tissue", {(2, 3)}),
        ("########\n" * 3 + "###..###\n" * 2 + "########\n" * 3, 1, "tissue", {(3, 3), (3, 4), (4, 3), (4, 4)}),
        (CORNERS, 1, "all", {(r, c) for r in range(4) for c in range(4)} - {(0, 0), (3, 0), (3, 3)}),
        (CORNERS, 1, "hull", {(1, 0), (2, 0), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2)}),
        ("##.##", 2, "hull", {(0, v) for v in (1, 3, 4, 5, 7)}),
        # A disc reaches into the gap of a line from both sides, so its closing leaves the gap open.
        ("##.##", 2, "tissue", {(0, 1), (0, 7)}),
        ("###\n###\n###", 2, "tissue", {(r, c) for r in range(5) for c in range(5) if r % 2 or c % 2}),
    ],
)
def test_sites_that_are_added(text, factor, fill, expected):
    assert filled(text, factor, fill) == expected


def test_wide_holes_stay():
    four = "##########\n" * 3 + "###....###\n" * 4 + "##########\n" * 3
    assert not filled(four) & {(4, 4), (4, 5), (5, 4), (5, 5)}


def test_outline_turns_with_the_section():
    rng = np.random.default_rng(0)
    index = np.argwhere(rng.random((12, 14)) < 0.6)
    for kind in KINDS.values():
        lattice = Lattice(kind, index, np.asarray(kind.unit_basis), np.zeros(2)).densified(2)
        expected = {tuple(site) for site in fill_sites(lattice, factor=2, fill="tissue").tolist()}
        for symmetry in kind.symmetries:
            turned = fill_sites(lattice.transformed(symmetry), factor=2, fill="tissue")
            back = turned @ np.linalg.inv(symmetry).round().astype(int).T
            assert {tuple(site) for site in back.tolist()} == expected


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_symmetries_form_a_group_and_keep_distances(kind):
    elements = {tuple(matrix.ravel()) for matrix in kind.symmetries}
    assert len(elements) == len(kind.symmetries) == (12 if kind.hexagonal else 8)
    assert {tuple((a @ b).ravel()) for a in kind.symmetries for b in kind.symmetries} == elements
    assert np.array_equal(kind.symmetries[0], np.eye(2))
    index, basis = np.random.default_rng(0).integers(-5, 5, size=(20, 2)), np.asarray(kind.unit_basis)
    lengths = [np.linalg.norm(index @ matrix.T @ basis, axis=1) for matrix in kind.symmetries]
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], (len(lengths), 20)), rtol=1e-12)
    offsets = np.argwhere(np.ones((3, 3))) - 1
    lengths = np.linalg.norm(offsets @ basis, axis=1)
    assert np.sum(np.isclose(lengths, 1)) == kind.n_neighbours
    assert np.sum(lengths < 0.99) == 1
