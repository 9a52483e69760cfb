"""The check of where an image lies."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from s2s_scverse._image import _features, check_covariates, check_registration
from s2s_scverse._lattice import KINDS, Lattice, SectionOnLattice

SIDE, SPACING = 240, 12.0


@pytest.fixture(scope="module")
def picture():
    return gaussian_filter(np.random.default_rng(3).standard_normal((SIDE, SIDE)), 8) * 20


@pytest.fixture(scope="module")
def spots():
    return np.stack(np.meshgrid(np.arange(54, 190, 12.0), np.arange(50, 180, 12.0)), axis=-1).reshape(-1, 2)


def described(picture):
    def describe(at):
        missing = ((at < 0) | (at > np.array(picture.shape[::-1]) - 1)).any(axis=1)
        return map_coordinates(picture, at[:, ::-1].T, order=1)[:, None].astype(np.float32), missing

    return describe


def checked(picture, spots, believed, noise=0.5):
    """Genes follow the picture at `spots`; the coordinates say `believed`."""

    describe = described(picture)
    rng = np.random.default_rng(0)
    values = describe(spots)[0] @ rng.standard_normal((1, 20)) + noise * rng.standard_normal((len(spots), 20))
    box = np.zeros(2), np.full(2, SIDE - 1.0)
    return check_registration(describe, believed, values.astype(np.float32), SPACING, box, factors=(4.0,))


def test_an_image_in_place_passes_and_few_spots_are_not_judged(picture, spots):
    assert checked(picture, spots, spots) is None
    assert checked(picture, spots, spots, noise=50) is None
    assert checked(picture, spots[:20], spots[:20, ::-1]) is None


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


@pytest.mark.parametrize(("turns", "place"), [(1, "rotated by 270"), (2, "rotated by 180"), (3, "rotated by 90")])
def test_an_oblong_image_that_was_rotated_is_found(picture, spots, turns, place):
    oblong = np.pad(picture, ((0, 0), (0, 60)), mode="symmetric")
    turned = np.rot90(oblong, turns)
    rng = np.random.default_rng(0)
    values = described(oblong)(spots)[0] * rng.standard_normal(20) + 0.5 * rng.standard_normal((len(spots), 20))
    box = np.zeros(2), np.array(turned.shape[::-1]) - 1.0
    misfit = check_registration(described(turned), spots, values.astype(np.float32), SPACING, box)
    assert misfit is not None
    assert misfit.place.startswith(place)


def test_large_structures_elsewhere_are_no_better_place(monkeypatch):
    """The left half shows a texture and the right half a gradient; genes on the left follow a bit of both."""
    x = np.tile(np.linspace(-1, 1, SIDE), (SIDE, 1))
    texture = gaussian_filter(np.random.default_rng(3).standard_normal((SIDE, SIDE)), 8) * 20
    picture, gradient = np.where(x < 0, texture, 3 * x), np.where(x < 0, 0.5 * texture - 3 * x, 0)
    spots = np.stack(np.meshgrid(np.arange(10, 118, 12.0), np.arange(10, 230, 12.0)), axis=-1).reshape(-1, 2)

    def check():
        genes = map_coordinates(gradient, spots[:, ::-1].T, order=1)[:, None] * np.linspace(0.5, 1, 20)
        genes = genes + 0.3 * np.random.default_rng(0).standard_normal(genes.shape)
        box = np.zeros(2), np.full(2, SIDE - 1.0)
        return check_registration(described(picture), spots, genes.astype(np.float32), SPACING, box)

    assert check() is None
    monkeypatch.setattr(_features, "LOCAL_DOUBT", -np.inf)
    assert check().place == "mirrored left to right"


@pytest.mark.parametrize("stride", [1, 2])
def test_covariates_of_moved_sites_are_found(stride):
    index = np.indices((24, 24)).reshape(2, -1).T
    lattice = Lattice(KINDS["square"], index, np.eye(2), np.zeros(2))
    covariates = np.random.default_rng(0).standard_normal((30, 30, 3))
    spots = (index % stride == 0).all(axis=1)

    def checked(row=0, column=0, flip=1):
        at_sites = covariates[2 + row : 26 + row, 2 + column : 26 + column][::flip].reshape(-1, 3)
        true = covariates[tuple((index[spots] + 2).T)]
        values = true @ np.random.default_rng(1).standard_normal((3, 20))
        section = SectionOnLattice(None, np.arange(len(index)), lattice, spots, ~spots, values.astype(np.float32))
        return check_covariates(section, at_sites)

    assert checked() is None
    assert checked(column=stride).place == "shifted by x -1, y +0"
    assert checked(row=-stride).place == "shifted by x +0, y +1"
    assert checked(flip=-1).place == "mirrored upside down"
