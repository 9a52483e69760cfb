"""Descriptors of images, where they lie, and the files they come from."""

import numpy as np
import pytest
import tifffile
from skimage.color import hed2rgb

from s2s_scverse._image import FeatureMaps, PlacedImage, cut_patches, image_file

SIDE, SPACING = 240, 24.0
SITES = np.stack(np.meshgrid(np.arange(36, 210, 24.0), np.arange(36, 210, 24.0)), axis=-1).reshape(-1, 2)


def stained(haematoxylin: np.ndarray, eosin: float = 0.05) -> np.ndarray:
    """An RGB image of the given density, (height, width)."""
    hed = np.stack([haematoxylin, np.full_like(haematoxylin, eosin), np.zeros_like(haematoxylin)], axis=-1)
    return (np.clip(hed2rgb(hed), 0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    """More haematoxylin to the right."""
    return stained(np.tile(np.linspace(0.02, 0.2, SIDE), (SIDE, 1)))


def maps_of(pixels: np.ndarray, scale: float = 1.0, **options: object) -> FeatureMaps:
    return FeatureMaps(PlacedImage(pixels, np.diag([scale, scale, 1.0])), SPACING, (0.3, 0.6), **options)


def test_stains_are_described_where_they_are_whatever_the_bands_that_are_read(ramp, monkeypatch):
    found = maps_of(ramp).describe(SITES)
    assert found.names[:2] == ["haematoxylin_mean_0.3", "haematoxylin_std_0.3"]
    assert not found.missing.any()
    assert np.corrcoef(found.features[:, 0], SITES[:, 0])[0, 1] > 0.99
    wanted = np.interp(SITES[:, 0], np.arange(SIDE), np.linspace(0.02, 0.2, SIDE))
    np.testing.assert_allclose(found.features[:, 0], wanted, atol=0.012)
    whole = maps_of(ramp).describe(SITES).features
    monkeypatch.setattr("s2s_scverse._image._placed.BAND", 3 * SIDE * 20)
    np.testing.assert_allclose(maps_of(ramp).describe(SITES).features, whole, rtol=1e-5)


def test_textures_and_spread_describe_structures():
    features = []
    for width in (2, 16):
        checks = (np.indices((SIDE, SIDE)) // width).sum(axis=0) % 2
        found = maps_of(stained(0.05 + 0.1 * checks)).describe(SITES)
        features.append(dict(zip(found.names, found.features.mean(axis=0), strict=True)))
    fine, coarse = features
    assert fine["haematoxylin_std_0.6"] == pytest.approx(coarse["haematoxylin_std_0.6"], rel=0.1)
    assert fine["haematoxylin_texture_0.05_0.6"] > coarse["haematoxylin_texture_0.05_0.6"] + 0.5
    # Smaller structures than a pixel are not described.
    assert not any("texture_0.025" in name for name in fine)
    smooth = maps_of(stained(np.full((SIDE, SIDE), 0.1))).describe(SITES).features[:, 1].mean()
    assert coarse["haematoxylin_std_0.3"] > 10 * smooth


@pytest.mark.parametrize("colour", [(20, 160, 40), (30, 50, 160), (60, 120, 220), (15, 15, 15)])
def test_background_pen_marks_and_sites_off_the_image_are_missing(ramp: np.ndarray, colour: tuple[int]) -> None:
    pixels = ramp.copy()
    pixels[:, :70] = 250  # blank
    pixels[100:, 170:] = colour
    sites = np.vstack([SITES, [[400.0, 400.0]]])
    found = maps_of(pixels).describe(sites)
    blank, pen = sites[:, 0] < 50, (sites[:, 0] > 190) & (sites[:, 1] > 120)
    assert found.missing[blank].all()
    assert found.missing[pen].all()
    assert found.missing[-1]
    inside = (sites[:, 0] > 100) & (sites[:, 0] < 150)
    assert not found.missing[inside].any()
    np.testing.assert_array_equal(found.features[-1], np.median(found.features[~found.missing], axis=0))
    # Pen marks do not change what is described beside them.
    beside = (sites[:, 0] == 156) & (sites[:, 1] > 150)
    np.testing.assert_allclose(found.features[beside, 0], maps_of(ramp).describe(sites).features[beside, 0], atol=0.02)


def test_other_images_give_their_channels() -> None:
    rng = np.random.default_rng(0)
    dapi = rng.random((SIDE, SIDE)).astype(np.float32)
    found = maps_of(dapi).describe(SITES)
    local = [f"channel0_{what}_{scale}" for scale in (0.3, 0.6) for what in ("mean", "std")]
    textures = [f"channel0_texture_{size}_{scale}" for size in (0.05, 0.1) for scale in (0.3, 0.6)]
    assert found.names == local + textures
    several = maps_of(rng.random((SIDE, SIDE, 5))).describe(SITES)
    assert several.features.shape == (len(SITES), 40)


def test_files_are_read_like_arrays(ramp: np.ndarray, tmp_path) -> None:
    from skimage.io import imsave

    expected = maps_of(ramp).describe(SITES).features
    imsave(tmp_path / "he.png", ramp, check_contrast=False)
    tifffile.imwrite(tmp_path / "he.tif", ramp, tile=(64, 64), photometric="rgb")
    tifffile.imwrite(tmp_path / "he.ome.tif", np.moveaxis(ramp, -1, 0), metadata={"axes": "CYX"}, photometric="rgb")
    tifffile.imwrite(tmp_path / "he.btf", ramp, bigtiff=True, tile=(64, 64), compression="zlib", photometric="rgb")
    for name in ("he.png", "he.tif", "he.ome.tif", "he.btf"):
        image = image_file(tmp_path / name, np.eye(3), SPACING / 24)
        found = FeatureMaps(image, SPACING, (0.3, 0.6)).describe(SITES).features
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)
    with pytest.raises(FileNotFoundError, match="no image found"):
        image_file(tmp_path / "none.png", np.eye(3), None)


def test_the_largest_image_of_a_file_is_read_and_files_that_are_no_image_are_refused(ramp, tmp_path):
    with tifffile.TiffWriter(tmp_path / "slide.svs") as file:
        file.write(ramp[::8, ::8], photometric="rgb")
        file.write(ramp, photometric="rgb", tile=(64, 64))
    assert image_file(tmp_path / "slide.svs", np.eye(3), None).shape == ramp.shape[:2]
    (tmp_path / "text.png").write_text("no image")
    tifffile.imwrite(tmp_path / "stack.ome.tif", np.zeros((3, 64, 64), np.uint8), metadata={"axes": "ZYX"})
    for name, error, text in (
        ("text.png", ValueError, "cannot be read as PNG or JPEG .* convert it to TIFF"),
        ("stack.ome.tif", ValueError, "found axes ZYX .* pass one plane or a projection"),
        ("", FileNotFoundError, "which is a folder"),
    ):
        with pytest.raises(error, match=text):
            image_file(tmp_path / name, np.eye(3), None)


def test_a_level_of_a_pyramid_suffices(tmp_path) -> None:
    fine = stained(np.tile(np.linspace(0.02, 0.2, 4 * SIDE), (4 * SIDE, 1)))
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(fine, subifds=2, tile=(128, 128), photometric="rgb")
        for factor in (2, 4):
            small = fine.reshape(4 * SIDE // factor, factor, 4 * SIDE // factor, factor, 3).mean(axis=(1, 3))
            file.write(small.round().astype(np.uint8), subfiletype=1, tile=(128, 128), photometric="rgb")
    image = image_file(tmp_path / "pyramid.tif", np.diag([4.0, 4.0, 1.0]), SPACING / 24)
    assert image.shape == (SIDE, SIDE)
    found = FeatureMaps(image, SPACING * image.scale, (0.3, 0.6)).describe(SITES).features
    wanted = np.interp(4 * SITES[:, 0], np.arange(4 * SIDE), np.linspace(0.02, 0.2, 4 * SIDE))
    np.testing.assert_allclose(found[:, 0], wanted, atol=0.012)


def test_without_a_level_blocks_of_pixels_are_averaged(ramp: np.ndarray, tmp_path, monkeypatch) -> None:
    fine = np.pad(ramp.repeat(5, axis=0).repeat(5, axis=1), ((0, 2), (0, 2), (0, 0)), mode="edge")
    tifffile.imwrite(tmp_path / "fine.tif", fine, tile=(64, 64), photometric="rgb")
    monkeypatch.setattr("s2s_scverse._image._placed.READ", 5 * 5 * 3 * SIDE * 30)
    image = image_file(tmp_path / "fine.tif", np.array([[5.0, 0, 2], [0, 5, 2]]), 1.0)
    np.testing.assert_array_equal(image.pixels[:SIDE, :SIDE], ramp)
    np.testing.assert_array_equal(image.pixels[7:9, 50:60], ramp[7:9, 50:60])
    assert image.shape == (SIDE + 1, SIDE + 1)
    np.testing.assert_allclose(image.at(SITES), SITES, atol=1e-9)


def test_patches_are_cut_around_sites(ramp: np.ndarray) -> None:
    image = PlacedImage(ramp, np.eye(3))
    sizes = []

    def centre(patches: np.ndarray) -> np.ndarray:
        sizes.append(patches.shape)
        return patches[:, 4, 4].astype(float)

    found = cut_patches(image, np.vstack([SITES, [[2.0, 100.0]]]), centre, side=8, batch_size=20)
    assert sizes[0] == (20, 8, 8, 3)
    rows, cols = SITES[:, 1].astype(int), SITES[:, 0].astype(int)
    np.testing.assert_array_equal(found.features[:-1], ramp[rows, cols])
    assert found.missing.tolist() == [False] * len(SITES) + [True]
    with pytest.raises(ValueError, match="extractor must return"):
        cut_patches(image, SITES, lambda patches: patches, side=8, batch_size=20)
