import numpy as np
import pytest

import s2s_scverse as s2s
from s2s_scverse.datasets import _natural

natural_images = s2s.datasets.natural_images


def ramp(height, width):
    """An image that says where a pixel came from: its row, scaled to [0, 1]."""
    return np.repeat(np.linspace(0, 1, height)[:, None], width, axis=1)


@pytest.mark.parametrize("source", ["photographs", "textures"])
def test_shape_range_and_contrast(source):
    crops = natural_images(source, size=(40, 56), n=33, rng=0)
    assert crops.shape == (33, 40, 56)
    assert crops.dtype == np.float32
    assert crops.min() >= 0
    assert crops.max() <= 1
    assert (crops.std(axis=(1, 2)) > 0.02).all()
    assert len({crop.tobytes() for crop in crops}) == 33
    for small in ((1, 1), (2, 3)):
        assert np.isfinite(natural_images(source, size=small, n=4)).all()


@pytest.mark.parametrize("source", ["photographs", "textures"])
def test_same_seed_same_crops_and_no_global_state(source):
    state = np.random.get_state()  # noqa: NPY002
    first = natural_images(source, size=(24, 16), n=13, rng=5)
    np.testing.assert_array_equal(first, natural_images(source, size=(24, 16), n=13, rng=np.random.default_rng(5)))
    assert (first != natural_images(source, size=(24, 16), n=13, rng=6)).any()
    rng = np.random.default_rng(5)
    drawn = natural_images(source, size=(24, 16), n=13, rng=rng)
    assert (drawn != natural_images(source, size=(24, 16), n=13, rng=rng)).any()
    for before, after in zip(state, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(before, after)


def test_every_photograph_has_a_free_licence_and_is_named_in_the_docs():
    for name, licence in _natural.PHOTOGRAPHS.items():
        assert licence.endswith(("CC0", "public domain"))
        assert name.split(".")[0].split("_")[0].lower() in natural_images.__doc__.lower()


def drawn(image, size, n, seed=0):
    levels = _natural._pyramid(image.astype(np.float32))
    return np.stack([_natural._draw_crop(levels, size, rng) for rng in np.random.default_rng(seed).spawn(n)])


@pytest.mark.parametrize("size", [(64, 64), (30, 90), (1, 1), (3, 200)])
def test_turned_crops_have_no_filled_corners(size):
    np.testing.assert_allclose(drawn(np.ones((120, 150)), size, 40), 1, atol=1e-6)


def test_every_angle_and_both_reflections():
    # The slopes of a crop of a plane tell the angle; of two planes, the reflection.
    image = ramp(200, 200)
    crops = drawn(image, (32, 32), 200, 1).astype(float)
    down = (crops[:, 20, 16] - crops[:, 10, 16]) / 10
    right = (crops[:, 16, 20] - crops[:, 16, 10]) / 10
    angle = np.arctan2(right, down)
    assert (np.histogram(angle, bins=8, range=(-np.pi, np.pi))[0] > 8).all()
    across = drawn(image.T, (32, 32), 200, 1).astype(float)
    determinant = down * (across[:, 16, 20] - across[:, 16, 10]) - right * (across[:, 20, 16] - across[:, 10, 16])
    assert 0.35 < (determinant > 0).mean() < 0.65
    # The plane rises by 1/199 per pixel of the image: between 1 and 6 of them per pixel of the crop.
    reduction = np.hypot(down, right) * 199
    assert reduction.min() >= 0.99
    assert 3 < reduction.max() <= 6.01
    assert np.abs(np.diff(crops, n=2, axis=1)).max() < 5e-4  # sampling is exact for a plane
    # Reduced noise is averaged: picking single pixels would keep its deviation.
    noise = drawn(np.random.default_rng(0).random((200, 200)), (32, 32), 200, 1)
    ratio = noise.std(axis=(1, 2)) / 12**-0.5 * reduction
    assert 0.4 < ratio.min() < ratio.max() < 1.15
