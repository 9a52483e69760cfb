import numpy as np
import pytest

from s2s_scverse.pl._cells import outline, site_polygons


def middles(edges):
    return [tuple(middle) for middle in edges.mean(axis=-2).round(5).reshape(-1, 2)]


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
