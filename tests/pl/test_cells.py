import numpy as np
import pytest

from s2s_scverse.pl._cells import site_polygons


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
