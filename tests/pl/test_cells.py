import numpy as np
import pytest

from s2s_scverse.pl._drawing import outline, site_polygons

TIP = 10 / np.sqrt(2)
ON_TIP = [(100 + TIP, 200), (100 - TIP, 200), (100, 200 + TIP), (100, 200 - TIP)]
HEXAGON = [
    (100 + 10 / np.sqrt(3) * np.cos(a), 200 + 10 / np.sqrt(3) * np.sin(a)) for a in np.pi / 6 + np.arange(6) * np.pi / 3
]


def corner_set(points):
    return {(round(float(x), 6), round(float(y), 6)) for x, y in points}


def middles(edges):
    return [tuple(middle) for middle in edges.mean(axis=-2).round(5).reshape(-1, 2)]


@pytest.mark.parametrize(
    ("kind", "angle", "site", "corners"),
    [
        ("square", 0, 0, [(95, 195), (105, 195), (105, 205), (95, 205)]),
        # Site 5 is row 1, column 2: x grows with the column, y with the row.
        ("square", 0, 5, [(115, 205), (125, 205), (125, 215), (115, 215)]),
        ("square", 45, 0, ON_TIP),
        ("quincunx", 0, 0, ON_TIP),
        ("hex", 0, 0, HEXAGON),
    ],
)
def test_cells_of_a_hand_drawn_array(make_lattice, kind, angle, site, corners):
    polygons = site_polygons(make_lattice(kind, 2, 3, angle=angle))
    assert corner_set(polygons[site]) == corner_set(corners)


@pytest.mark.parametrize("angle", [0, 17])
@pytest.mark.parametrize("kind", ["square", "hex", "quincunx"])
def test_cells_tile_the_section_and_the_outline_goes_around_it_and_its_hole(make_lattice, kind, angle):
    full = make_lattice(kind, 7, 7, angle=angle)
    to_centre = np.linalg.norm(full.coordinates - full.coordinates.mean(axis=0), axis=1)
    lattice = full.subset(to_centre > to_centre.min() + 1)
    polygons = site_polygons(lattice)
    np.testing.assert_allclose(polygons.mean(axis=1), lattice.coordinates)
    x, y = polygons[..., 0], polygons[..., 1]
    area = np.abs(np.sum(x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y, axis=1)) / 2
    np.testing.assert_allclose(area, abs(np.linalg.det(lattice.basis)))
    # Neighbours share whole edges; the outline has every edge that is the edge of one cell only.
    edges = middles(np.stack([polygons, np.roll(polygons, -1, axis=1)], axis=2))
    assert max(edges.count(edge) for edge in edges) == 2
    assert sorted(middles(outline(lattice))) == sorted(edge for edge in edges if edges.count(edge) == 1)
