import numpy as np
import pytest
from matplotlib.figure import Figure

from s2s_scverse.pl._drawing import draw_underlay, find_underlay

BOX = (99.0, 141.0, 149.0, 171.0)


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        pytest.param(lambda image: image, [100, 150, 0], id="bytes"),
        pytest.param(lambda image: image.astype(np.uint16) * 257, [100, 150, 0], id="16 bits"),
        pytest.param(lambda image: image / 255, [100, 150, 0], id="floats"),
        pytest.param(lambda image: image.astype(float), [100, 150, 0], id="floats to 255"),
        pytest.param(lambda image: image.astype(np.int64), [100, 150, 0], id="int64"),
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


def test_which_image(stained):
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


def test_none_is_needed_unless_asked_for(stained):
    for spatial in (None, {}, "no mapping", {"library": None}, {"a": {}, "b": {}}):
        assert find_underlay(spatial, None, None, BOX) is None
        assert find_underlay(spatial, None, False, BOX) is None
    assert find_underlay(stained, None, False, BOX) is None
    assert find_underlay(stained, None, None, (900.0, 910.0, 0.0, 10.0)) is None


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
