import numpy as np
import pytest

from s2s_scverse._lattice import KINDS, Lattice, fill_sites


def drawn(text, factor=1):
    index = np.array([(r, c) for r, line in enumerate(text.split()) for c, x in enumerate(line) if x == "#"])
    return Lattice(KINDS["square"], index, np.eye(2)[::-1], np.zeros(2)).densified(factor)


def filled(text, factor=1, fill="tissue"):
    return {tuple(site) for site in fill_sites(drawn(text, factor), factor=factor, fill=fill).tolist()}


SQUARE = "#######\n" * 7


def test_single_missing_spot_is_a_hole_to_fill():
    text = "#######\n#######\n###.###\n#######\n#######"
    assert filled(text) == {(2, 3)}


def test_gaps_two_spots_wide_are_filled_and_wider_holes_stay():
    two = "########\n" * 3 + "###..###\n" * 2 + "########\n" * 3
    assert filled(two) == {(3, 3), (3, 4), (4, 3), (4, 4)}
    four = "##########\n" * 3 + "###....###\n" * 4 + "##########\n" * 3
    centre = {(4, 4), (4, 5), (5, 4), (5, 5)}
    assert not filled(four) & centre


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_densified_square_is_filled_between_its_spots_and_not_around(factor):
    sites = filled(SQUARE, factor)
    side = 6 * factor + 1
    assert len(sites) == side**2 - 49
    assert all(0 <= u < side and 0 <= v < side for u, v in sites)


def test_hull_and_all():
    text = "#...\n....\n....\n#..#"
    assert filled(text, fill="all") == {(r, c) for r in range(4) for c in range(4)} - {(0, 0), (3, 0), (3, 3)}
    assert filled(text, fill="hull") == {(1, 0), (2, 0), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2)}


def test_spots_on_one_line_get_sites_between_them():
    assert filled("##.##", 2, "hull") == {(0, v) for v in (1, 3, 4, 5, 7)}
    # A disc reaches into the gap of a line from both sides, so its closing leaves the gap open.
    assert filled("##.##", 2, "tissue") == {(0, 1), (0, 7)}


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
