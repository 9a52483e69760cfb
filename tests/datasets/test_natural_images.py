import numpy as np
import pytest
from skimage.io import imsave

import s2s_scverse as s2s

natural_images = s2s.datasets.natural_images


def ramp(height, width):
    """An image that says where a pixel came from: its row, scaled to [0, 1]."""
    return np.repeat(np.linspace(0, 1, height)[:, None], width, axis=1)


def test_shape_range_and_contrast():
    crops = natural_images(size=(40, 56), n=33, rng=0)
    assert crops.shape == (33, 40, 56)
    assert crops.dtype == np.float32
    assert crops.min() >= 0
    assert crops.max() <= 1
    assert (crops.std(axis=(1, 2)) > 0.02).all()
    assert len({crop.tobytes() for crop in crops}) == 33
    for small in ((1, 1), (2, 3)):
        assert np.isfinite(natural_images(size=small, n=4)).all()


@pytest.mark.parametrize("size", [(64, 64), (30, 90), (1, 1), (3, 200)])
def test_turned_crops_have_no_filled_corners(size):
    crops = natural_images(np.ones((120, 150)), size=size, n=40)
    np.testing.assert_allclose(crops, 1, atol=1e-6)


def test_every_angle_and_both_reflections():
    # The slopes of a crop of a plane tell the angle; of two planes, the reflection.
    image = ramp(200, 200)
    crops = natural_images([image], size=(32, 32), n=200, rng=1).astype(float)
    down = (crops[:, 20, 16] - crops[:, 10, 16]) / 10
    right = (crops[:, 16, 20] - crops[:, 16, 10]) / 10
    angle = np.arctan2(right, down)
    assert (np.histogram(angle, bins=8, range=(-np.pi, np.pi))[0] > 8).all()
    across = natural_images([image.T], size=(32, 32), n=200, rng=1).astype(float)
    determinant = down * (across[:, 16, 20] - across[:, 16, 10]) - right * (across[:, 20, 16] - across[:, 10, 16])
    assert 0.35 < (determinant > 0).mean() < 0.65
    # The plane rises by 1/199 per pixel of the image: between 1 and 6 of them per pixel of the crop.
    reduction = np.hypot(down, right) * 199
    assert reduction.min() >= 0.99
    assert 3 < reduction.max() <= 6.01
    assert np.abs(np.diff(crops, n=2, axis=1)).max() < 5e-4  # sampling is exact for a plane
    # Reduced noise is averaged: picking single pixels would keep its deviation.
    noise = natural_images(np.random.default_rng(0).random((200, 200)), size=(32, 32), n=200, rng=1)
    ratio = noise.std(axis=(1, 2)) / 12**-0.5 * reduction
    assert 0.4 < ratio.min() < ratio.max() < 1.15


def test_dtypes_and_layouts_agree():
    grey = (ramp(40, 50) * 255).astype(np.uint8)
    reference = natural_images(grey, size=(20, 20), n=6)
    layouts = {
        "colour": np.stack([grey] * 3, axis=2),
        "alpha": np.dstack([np.stack([grey] * 3, axis=2), np.zeros_like(grey)]),
        "list": [grey],
        "colour stack": np.stack([grey] * 3, axis=2)[None],
        "float": grey / 255,
        "uint16": grey.astype(np.uint16) * 200,
        "wide float": grey.astype(np.float32) * 3 - 7,
    }
    for name, array in layouts.items():
        np.testing.assert_allclose(natural_images(array, size=(20, 20), n=6), reference, atol=1e-5, err_msg=name)
    green = np.zeros((20, 20, 3))
    green[..., 1] = 1
    np.testing.assert_allclose(natural_images(green, size=(4, 4), n=1), 0.7154, atol=1e-5)  # luminance
    dark = np.full((20, 20), 51, dtype=np.uint8)
    np.testing.assert_allclose(natural_images(dark, size=(4, 4), n=1), 0.2, atol=1e-6)


def test_folders_and_images_of_different_sizes(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((40, 30), (9, 50, 3), (33, 33))]
    for number, (image, suffix) in enumerate(zip(images, ("png", "TIF", "bmp"), strict=True)):
        imsave(tmp_path / f"{number}.{suffix}", image, check_contrast=False)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "deeper.png").mkdir()
    found, expected = (natural_images(source, size=(12, 10), n=9) for source in (str(tmp_path), images))
    np.testing.assert_array_equal(found, expected)
    grey = [np.full((20, 30), i / 10) for i in range(1, 5)]
    _, times = np.unique(natural_images(grey, size=(8, 8), n=10)[:, 0, 0].round(3), return_counts=True)
    assert sorted(times) == [2, 2, 3, 3]  # images are used equally often
