import numpy as np
import pytest
from matplotlib.figure import Figure

from s2s_scverse.pl._drawing import draw_underlay, find_underlay, outline, site_polygons

BOX = (99.0, 141.0, 149.0, 171.0)


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        pytest.param(lambda image: image, [100, 150, 0], id="bytes"),
        pytest.param(lambda image: image.astype(np.uint16) * 257, [100, 150, 0], id="16 bits"),
        pytest.param(lambda image: image / 255, [100, 150, 0], id="floats"),
        pytest.param(lambda image: np.moveaxis(image, -1, 0), [100, 150, 0], id="channels first"),
        pytest.param(lambda image: np.dstack([image, np.full(image.shape[:2], 255, "u1")]), [100, 150, 0], id="rgba"),
        pytest.param(lambda image: (image[..., 0] == 100).astype(float), [255, 255, 255], id="grey"),
    ],
)
def test_pixels_are_drawn_where_they_lie(stained, colour_at, convert, expected):
    images = stained["library"]["images"]
    images["hires"] = convert(images["hires"])
    axis = Figure((4, 2)).add_axes((0, 0, 1, 1))
    axis.set(xlim=BOX[:2], ylim=BOX[3:1:-1])
    draw_underlay(axis, find_underlay(stained, None, "hires", BOX), 1.0)
    np.testing.assert_allclose(colour_at(axis, (100, 150))[0] * 255, expected, atol=1)
    assert (axis.get_xlim(), axis.get_ylim()) == ((99, 141), (171, 149))


def test_which_image_and_none_unless_asked_for(stained):
    for spatial in (None, {}, "no mapping", {"library": None}, {"a": {}, "b": {}}):
        assert find_underlay(spatial, None, None, BOX) is None
        assert find_underlay(spatial, None, False, BOX) is None
    assert find_underlay(stained, None, False, BOX) is None
    assert find_underlay(stained, None, None, (900.0, 910.0, 0.0, 10.0)) is None
    library = stained["library"]
    library["images"]["lowres"] = library["images"]["hires"][::2, ::2]
    library["scalefactors"]["tissue_lowres_scalef"] = 0.25
    assert find_underlay(stained, None, True, BOX).pixels.shape[1] == 100
    assert find_underlay(stained, None, "lowres", BOX).box == (-2, 198, -2, 238)
    del library["images"]["hires"]
    assert find_underlay(stained, None, True, BOX).pixels.shape[1] == 50
    two = {"a": library, "b": {"images": {}, "scalefactors": {}}, "is_single": True, "note": {"from": "CELLxGENE"}}
    assert find_underlay(two, "a", True, BOX) is not None
    assert find_underlay(two, "b", None, BOX) is None


def keep(spatial):
    """Change nothing."""


@pytest.mark.parametrize(
    ("change", "section", "img", "error", "match"),
    [
        (dict.clear, None, True, KeyError, "no image found.*pass img=False"),
        (keep, None, "medres", KeyError, "image 'medres' not found.*has: hires"),
        (lambda s: s["library"]["images"].clear(), None, True, KeyError, "has: none"),
        (lambda s: s["library"]["scalefactors"].clear(), None, True, KeyError, "scale factor 'tissue_hires_scalef'"),
        (lambda s: s.update(b={"images": {}}), None, True, ValueError, r"several sections \(library, b\)"),
        (keep, "a", True, KeyError, "no image of section 'a' found"),
        (lambda s: s["library"]["images"].update(hires=np.zeros((2, 2, 2))), None, True, ValueError, r"\(2, 2, 2\)"),
    ],
)
def test_images_that_cannot_be_drawn(stained, change, section, img, error, match):
    change(stained)
    with pytest.raises(error, match=match):
        find_underlay(stained, section, img, BOX)


def test_coordinates_in_other_units_are_told(stained):
    with pytest.raises(ValueError, match=r"x 900 to 910, y 0 to 10\) lies outside its image \(x -1 to 199"):
        find_underlay(stained, None, True, (900.0, 910.0, 0.0, 10.0))
    stained["library"]["scalefactors"]["tissue_hires_scalef"] = 0.1
    with pytest.warns(UserWarning, match=r"scaled to it already.*divide them by tissue_hires_scalef \(0.1\)"):
        find_underlay(stained, None, None, (10.0, 90.0, 12.0, 108.0))
    assert find_underlay(stained, None, True, (100.0, 900.0, 120.0, 1080.0)) is not None


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
