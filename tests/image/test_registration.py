"""The check of where an image lies."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from s2s_scverse._image import check_registration

SIDE, SPACING = 240, 12.0


@pytest.fixture(scope="module")
def picture():
    return gaussian_filter(np.random.default_rng(3).standard_normal((SIDE, SIDE)), 8) * 20


@pytest.fixture(scope="module")
def spots():
    return np.stack(np.meshgrid(np.arange(54, 190, 12.0), np.arange(50, 180, 12.0)), axis=-1).reshape(-1, 2)


def checked(picture, spots, believed, noise=0.5):
    """Genes follow the picture at `spots`; the coordinates say `believed`."""

    def describe(at):
        missing = ((at < 0) | (at > SIDE - 1)).any(axis=1)
        return map_coordinates(picture, at[:, ::-1].T, order=1)[:, None].astype(np.float32), missing

    rng = np.random.default_rng(0)
    values = describe(spots)[0] @ rng.standard_normal((1, 20)) + noise * rng.standard_normal((len(spots), 20))
    box = np.zeros(2), np.full(2, SIDE - 1.0)
    return check_registration(describe, believed, values.astype(np.float32), SPACING, box, factors=(4.0,))


def test_an_image_in_place_passes(picture, spots):
    assert checked(picture, spots, spots) is None
    assert checked(picture, spots, spots, noise=50) is None


@pytest.mark.parametrize(
    ("move", "place"),
    [
        (lambda at: at + np.array([SPACING, 0]), "shifted by x -12"),
        (lambda at: at[:, ::-1], "with x and y swapped"),
        (lambda at: np.column_stack([SIDE - 1 - at[:, 0], at[:, 1]]), "mirrored left to right"),
        (lambda at: SIDE - 1 - at, "rotated by 180 degrees"),
        (lambda at: at / 4, "multiplied by 4"),
        (lambda at: at / 4 - 500, None),
    ],
)
def test_other_places_are_found(picture, spots, move, place):
    misfit = checked(picture, spots, move(spots))
    if place is None:  # nothing that is tried fits
        assert misfit is None
        return
    assert misfit is not None
    assert misfit.place.startswith(place)
    assert misfit.explained_there > misfit.explained_here


def test_few_spots_are_not_judged(picture, spots):
    assert checked(picture, spots[:20], spots[:20, ::-1]) is None
