import numpy as np
import pytest

from s2s_scverse.pl._cells import bounds, outline_rings, site_polygons


def area(polygons):
    x, y = polygons[..., 0], polygons[..., 1]
    return np.abs(np.sum(x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y, axis=1)) / 2


def corner_set(polygon):
    return {(round(float(x), 6), round(float(y), 6)) for x, y in polygon}


def test_squares_of_a_hand_drawn_array(make_lattice):
    polygons = site_polygons(make_lattice("square", 2, 3))
    assert polygons.shape == (6, 4, 2)
    assert corner_set(polygons[0]) == {(95, 195), (105, 195), (105, 205), (95, 205)}
    # Site 5 is row 1, column 2: x grows with the column, y with the row.
    assert corner_set(polygons[5]) == {(115, 205), (125, 205), (125, 215), (115, 215)}


def test_squares_turn_with_the_lattice(make_lattice):
    polygons = site_polygons(make_lattice("square", 2, 3, angle=45))
    reach = 10 / np.sqrt(2)
    expected = np.array([(100 + reach, 200), (100 - reach, 200), (100, 200 + reach), (100, 200 - reach)])
    assert corner_set(polygons[0]) == corner_set(expected)


def test_quincunx_cells_stand_on_their_tips(make_lattice):
    polygons = site_polygons(make_lattice("quincunx", 3, 3))
    reach = 10 / np.sqrt(2)
    expected = np.array([(100 + reach, 200), (100 - reach, 200), (100, 200 + reach), (100, 200 - reach)])
    assert corner_set(polygons[0]) == corner_set(expected)


def test_hexagons_have_a_corner_up_where_rows_are_horizontal(make_lattice):
    polygons = site_polygons(make_lattice("hex", 4, 4))
    assert polygons.shape[1:] == (6, 2)
    angles = np.deg2rad(np.arange(30, 390, 60))
    expected = np.array([100, 200]) + 10 / np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert corner_set(polygons[0]) == corner_set(expected)


@pytest.mark.parametrize("angle", [0, 17])
@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_cells_are_centred_convex_and_tile_the_plane(make_lattice, kind, angle):
    lattice = make_lattice(kind, 6, 5, angle=angle)
    polygons = site_polygons(lattice)
    np.testing.assert_allclose(polygons.mean(axis=1), lattice.coordinates)
    np.testing.assert_allclose(area(polygons), abs(np.linalg.det(lattice.basis)))
    edges = np.roll(polygons, -1, axis=1) - polygons
    following = np.roll(edges, -1, axis=1)
    turn = np.sign(edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0])
    assert np.all(turn == turn[0, 0])
    np.testing.assert_allclose(np.linalg.norm(edges, axis=2), np.linalg.norm(edges[0, 0]))
    # Neighbours share whole edges: each inner edge occurs twice.
    middles = (polygons + np.roll(polygons, -1, axis=1)).reshape(-1, 2) / 2
    counts = np.unique(middles.round(6), axis=0, return_counts=True)[1]
    assert counts.max() == 2
    corners = np.unique(polygons.reshape(-1, 2).round(6), axis=0)
    assert len(corners) < polygons.shape[0] * polygons.shape[1]


def test_distances_and_shear_of_the_fitted_basis_are_kept(make_lattice):
    lattice = make_lattice("square", 2, 2)
    stretched = type(lattice)(lattice.kind, lattice.index, np.array([[0.0, 30.0], [10.0, 0.0]]), lattice.origin)
    assert np.ptp(site_polygons(stretched)[0], axis=0).tolist() == [10, 30]


def signed_area(ring):
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def test_outline_of_a_hand_drawn_array(make_lattice):
    (ring,) = outline_rings(make_lattice("square", 2, 3))
    assert corner_set(ring) == {
        *((x, 195) for x in (95, 105, 115, 125)),
        *((x, 215) for x in (95, 105, 115, 125)),
        (95, 205),
        (125, 205),
    }
    assert abs(signed_area(ring)) == 600


@pytest.mark.parametrize("angle", [0, 17])
@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_outline_goes_around_the_section_and_its_hole(make_lattice, kind, angle):
    full = make_lattice(kind, 7, 7, angle=angle)
    to_centre = np.linalg.norm(full.coordinates - full.coordinates.mean(axis=0), axis=1)
    lattice = full.subset(to_centre > to_centre.min() + 1)
    rings = sorted(outline_rings(lattice), key=lambda ring: -abs(signed_area(ring)))
    cell = abs(np.linalg.det(lattice.basis))
    outer, hole = (signed_area(ring) for ring in rings)
    assert abs(outer) == pytest.approx(len(full) * cell)
    assert abs(hole) == pytest.approx((len(full) - len(lattice)) * cell)
    assert outer * hole < 0
    # Every edge of the outline is the edge of exactly one cell.
    polygons = site_polygons(lattice)
    middles = (polygons + np.roll(polygons, -1, axis=1)).reshape(-1, 2) / 2
    found, counts = np.unique(middles.round(5), axis=0, return_counts=True)
    border = np.concatenate([(ring + np.roll(ring, -1, axis=0)) / 2 for ring in rings]).round(5)
    assert {tuple(middle) for middle in border} == {tuple(middle) for middle in found[counts == 1]}


def test_outline_of_parts_that_touch_in_a_corner(make_lattice):
    lattice = make_lattice("square", 3, 3)
    rings = outline_rings(lattice.subset(np.arange(9) % 2 == 0))
    assert sum(abs(signed_area(ring)) for ring in rings) == 500
    assert sum(len(ring) for ring in rings) == 20
    (single,) = outline_rings(lattice.subset(np.arange(9) == 4))
    assert corner_set(single) == {(105, 205), (115, 205), (115, 215), (105, 215)}


def test_bounds_are_those_of_the_cells(make_lattice):
    assert bounds(site_polygons(make_lattice("square", 2, 3))) == (95, 125, 195, 215)
