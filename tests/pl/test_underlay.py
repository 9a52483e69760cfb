import numpy as np
import pytest
from matplotlib.figure import Figure

from s2s_scverse.pl._underlay import check_opacity, draw_underlay, find_underlay

BOX = (99.0, 141.0, 149.0, 171.0)


def test_the_image_is_cut_to_the_section(stained):
    found = find_underlay(stained, None, True, BOX)
    # Pixel i is centred at 2 i: those that touch 99 to 141 are 50 (99 to 101) to 70 (139 to 141).
    assert found.box == BOX
    assert found.pixels.shape == (11, 21, 3)
    assert found.pixels[0, 0].tolist() == [100, 150, 0]
    assert found.pixels[-1, -1].tolist() == [140, 170, 0]


def test_a_section_at_the_rim_of_its_image(stained):
    found = find_underlay(stained, None, True, (-50.0, 3.5, -7.0, 2.0))
    assert found.box == (-1, 5, -1, 3)
    assert found.pixels[..., 0].tolist() == [[0, 2, 4], [0, 2, 4]]


@pytest.mark.parametrize(
    ("convert", "expected"),
    [
        pytest.param(lambda image: image, [100, 150, 0], id="bytes"),
        pytest.param(lambda image: image.astype(np.uint16) * 257, [100, 150, 0], id="16 bits"),
        pytest.param(lambda image: image / 255, [100, 150, 0], id="floats"),
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
    assert find_underlay(stained, None, True, BOX).pixels.shape[1] == 21
    assert find_underlay(stained, None, "lowres", BOX).pixels.shape[1] == 11
    del library["images"]["hires"]
    assert find_underlay(stained, None, True, BOX).pixels.shape[1] == 11
    two = {"a": library, "b": {"images": {}, "scalefactors": {}}}
    assert find_underlay(two, "a", True, BOX) is not None
    assert find_underlay(two, "b", None, BOX) is None


def test_none_is_needed_unless_asked_for(stained):
    for spatial in (None, {}, "no mapping", {"library": None}, {"a": {}, "b": {}}):
        assert find_underlay(spatial, None, None, BOX) is None
        assert find_underlay(spatial, None, False, BOX) is None
    assert find_underlay(stained, None, False, BOX) is None
    assert find_underlay(stained, None, None, (900.0, 910.0, 0.0, 10.0)) is None


@pytest.mark.parametrize(
    ("change", "section", "img", "error", "match"),
    [
        pytest.param(dict.clear, None, True, KeyError, "no image found.*pass img=False", id="none"),
        pytest.param(lambda s: None, None, "medres", KeyError, "image 'medres' not found.*has: hires", id="name"),
        pytest.param(lambda s: s["library"]["images"].clear(), None, True, KeyError, "has: none", id="no images"),
        pytest.param(lambda s: s["library"]["scalefactors"].clear(), None, True, KeyError, "hires_scalef", id="scale"),
        pytest.param(
            lambda s: s.update(b={"images": {}}), None, True, ValueError, r"several sections \(library, b\)", id="two"
        ),
        pytest.param(lambda s: None, "a", True, KeyError, "no image of section 'a' found", id="other section"),
        pytest.param(
            lambda s: s.update(library=3), None, True, KeyError, "no entry that holds 'images'", id="no mapping"
        ),
        pytest.param(
            lambda s: s["library"]["scalefactors"].update(tissue_hires_scalef=None),
            None,
            True,
            KeyError,
            "scale factor 'tissue_hires_scalef' of image 'hires' not found",
            id="scale None",
        ),
        pytest.param(
            lambda s: s["library"]["images"].update(hires=np.zeros((2, 2, 2))),
            None,
            True,
            ValueError,
            r"found \(2, 2, 2\)",
            id="no image",
        ),
        pytest.param(lambda s: None, None, 3, TypeError, "img must be True, False, None or the name", id="type"),
    ],
)
def test_images_that_cannot_be_drawn(stained, change, section, img, error, match):
    change(stained)
    with pytest.raises(error, match=match):
        find_underlay(stained, section, img, BOX)


def test_coordinates_in_other_units_are_told(stained):
    with pytest.raises(ValueError, match=r"x 900 to 910, y 0 to 10\) lies beside its image \(x -1 to 199"):
        find_underlay(stained, None, True, (900.0, 910.0, 0.0, 10.0))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, True, "half", None])
def test_opacity(value):
    with pytest.raises(ValueError, match=r"alpha must be a number from 0 \(invisible\) to 1"):
        check_opacity("alpha", value)


def test_what_stands_beside_the_library_is_no_section(stained):
    stained |= {"is_single": True, "note": {"from": "CELLxGENE"}}
    assert find_underlay(stained, None, True, BOX).box == BOX


def test_coordinates_scaled_to_the_image_are_told(stained):
    library = stained["library"]
    library["scalefactors"]["tissue_hires_scalef"] = 0.1
    height, width = library["images"]["hires"].shape[:2]
    scaled = (0.1 * width, 0.9 * width, 0.1 * height, 0.9 * height)
    with pytest.warns(
        UserWarning, match=r"may have been scaled to it already.*divide them by tissue_hires_scalef \(0.1\)"
    ):
        find_underlay(stained, None, None, scaled)
    assert find_underlay(stained, None, True, tuple(10 * edge for edge in scaled)) is not None
