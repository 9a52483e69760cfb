"""pp.image_features, and covariates in tl.impute and tl.interpolate."""

import anndata as ad
import numpy as np
import pytest
import torch
import xarray as xr
from skimage.color import hed2rgb

import s2s_scverse as s2s

PITCH = 20.0


@pytest.fixture(scope="module")
def section():
    """A section whose genes follow a pattern that its image shows; three of four spots are held out."""
    rng = np.random.default_rng(0)
    array = np.stack(np.meshgrid(np.arange(20), np.arange(18), indexing="ij"), axis=-1).reshape(-1, 2)
    pattern = rng.random(len(array))
    values = np.outer(pattern, rng.normal(size=12)) * 2 + 3 + 0.2 * rng.standard_normal((len(array), 12))
    adata = ad.AnnData(np.maximum(values, 0.01).astype(np.float32))
    adata.obs_names = [f"spot{i}" for i in range(len(array))]
    adata.obs["array_row"], adata.obs["array_col"] = array.T
    adata.obsm["spatial"] = (array[:, ::-1] + 1.0) * PITCH * 2
    density = np.full((21 * int(PITCH), 19 * int(PITCH)), 0.02)
    for (row, col), stain in zip(array, pattern, strict=True):
        y, x = ((np.array([row, col]) + 1) * PITCH).astype(int)
        density[y - 10 : y + 10, x - 10 : x + 10] = 0.03 + 0.15 * stain
    hed = np.stack([density, np.full_like(density, 0.05), np.zeros_like(density)], axis=-1)
    image = (np.clip(hed2rgb(hed), 0, 1) * 255).astype(np.uint8)
    scales = {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": PITCH}
    adata.uns["spatial"] = {"slide": {"images": {"hires": image}, "scalefactors": scales}}
    dense = s2s.pp.grid(adata, upsample=1)
    s2s.pp.sparsify(dense, phase=(0, 0))
    return dense


@pytest.fixture(scope="module")
def described(section):
    return s2s.pp.image_features(section, copy=True)


def held_out_correlation(adata, key):
    s2s.tl.evaluate(adata, key, n_bootstrap=1)
    return float(s2s.get.evaluation_df(adata)["pcc"].mean())


def test_features_are_written_beside_what_is_there_and_survive_a_file(section, described, tmp_path):
    assert described.obsm["s2s_image"].shape == (section.n_obs, 20)
    assert described.obsm["s2s_image"].dtype == np.float32
    entry = described.uns["s2s"]["image"]["s2s_image"]
    assert entry["names"][0] == "haematoxylin_mean_0.15"
    assert "s2s_image" not in section.obsm
    assert "image" not in section.uns["s2s"]
    np.testing.assert_array_equal(described.X, section.X)
    described.write_h5ad(tmp_path / "section.h5ad")
    again = ad.read_h5ad(tmp_path / "section.h5ad").uns["s2s"]["image"]["s2s_image"]
    assert list(again["names"]) == list(entry["names"])


def test_covariates_guide_imputation_and_constant_ones_change_nothing(described):
    adata = described.copy()
    s2s.tl.impute(adata, preset="quick", progress=False)
    plain = held_out_correlation(adata, "s2s")
    adata.obs["constant"] = 3.0
    s2s.tl.impute(adata, preset="quick", covariates="constant", key_added="constant", progress=False)
    np.testing.assert_array_equal(adata.layers["constant"], adata.layers["s2s"])
    s2s.tl.impute(adata, preset="quick", covariates="s2s_image", key_added="guided", progress=False)
    assert held_out_correlation(adata, "guided") > plain + 0.2
    s2s.tl.interpolate(adata, "stack", covariates=["s2s_image"])
    assert held_out_correlation(adata, "stack") > plain + 0.2
    assert adata.uns["s2s"]["stack"]["params"]["covariates"] == "s2s_image"
    assert adata.uns["s2s"]["guided"]["params"]["covariates"] == "s2s_image"
    measured = adata.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(adata.layers["guided"][measured], np.asarray(adata.X)[measured])


def test_held_out_expression_changes_nothing_and_covariates_do(described, quick):
    options = {"covariates": "s2s_image", **quick}
    adata, other, moved = described.copy(), described.copy(), described.copy()
    other.X[other.obs["s2s_held_out"].to_numpy()] = 7
    again = s2s.pp.image_features(other, copy=True)
    np.testing.assert_array_equal(again.obsm["s2s_image"], described.obsm["s2s_image"])
    moved.obsm["s2s_image"] = moved.obsm["s2s_image"][::-1].copy()
    for each in (adata, other, moved):
        s2s.tl.impute(each, **options)
    hidden = ~adata.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(other.layers["s2s"][hidden], adata.layers["s2s"][hidden])
    np.testing.assert_array_equal(other.layers["s2s_std"], adata.layers["s2s_std"])
    assert not np.array_equal(moved.layers["s2s"][hidden], adata.layers["s2s"][hidden])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda slide: slide["images"].update(hires=slide["images"]["hires"][::-1]), "mirrored upside down"),
        (lambda slide: slide.update(scalefactors={"tissue_hires_scalef": 0.2, "tissue_lowres_scalef": 0.4}), "by 2.5"),
    ],
)
def test_images_that_lie_elsewhere_are_noticed(section, change, text):
    adata = section.copy()
    change(adata.uns["spatial"]["slide"])
    with pytest.warns(UserWarning, match=text):
        s2s.pp.image_features(adata)


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda image: image / 255, id="0 to 1"),
        pytest.param(lambda image: image.astype(np.float32), id="floats to 255"),
        pytest.param(lambda image: image.astype(np.uint16) * 257, id="16 bits"),
        pytest.param(lambda image: np.moveaxis(image, -1, 0), id="channels first"),
        pytest.param(lambda image: xr.DataArray(image[:, :, None], dims=("y", "x", "z", "channels")), id="xarray"),
        pytest.param(lambda image: pytest.importorskip("squidpy").im.ImageContainer(image), id="squidpy"),
    ],
)
def test_an_image_in_another_form_has_the_same_features(section, described, convert):
    image = convert(section.uns["spatial"]["slide"]["images"]["hires"])
    found = s2s.pp.image_features(section, image, transform=0.5, copy=True).obsm["s2s_image"]
    np.testing.assert_allclose(found, described.obsm["s2s_image"], atol=1e-4)


def test_numbers_as_arrays_and_images_of_full_resolution(section, described):
    adata, expected = section.copy(), described.uns["s2s"]["image"]["s2s_image"]["explained"]
    slide = adata.uns["spatial"]["slide"]
    slide["scalefactors"]["tissue_hires_scalef"] = np.array([0.5])
    found = s2s.pp.image_features(adata, copy=True).obsm["s2s_image"]
    np.testing.assert_array_equal(found, described.obsm["s2s_image"])
    slide["images"] = {"fullres": slide["images"]["hires"].repeat(2, axis=0).repeat(2, axis=1)}
    found = s2s.pp.image_features(adata, copy=True).uns["s2s"]["image"]["s2s_image"]
    assert found["explained"] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("hide", "text"),
    [
        (lambda image: np.where(np.arange(image.shape[1])[:, None] < 150, np.nan, image / 255), "sites lie on blank"),
        (lambda image: image[:, :160], "sites lie outside the image"),
    ],
)
def test_a_part_of_the_image_is_judged_by_itself(section, described, hide, text):
    image = hide(section.uns["spatial"]["slide"]["images"]["hires"])
    with pytest.warns(UserWarning, match=text) as caught:
        found = s2s.pp.image_features(section, image, transform=0.5, copy=True)
    assert len(caught) == 1
    assert np.isfinite(found.obsm["s2s_image"]).all()
    explained = found.uns["s2s"]["image"]["s2s_image"]["explained"]
    assert explained == pytest.approx(described.uns["s2s"]["image"]["s2s_image"]["explained"], abs=0.15)


def test_own_features_of_other_sites_are_noticed(described):
    """Features of the next site are put into obsm."""
    adata = described.copy()
    index = adata.obs[["array_row", "array_col"]].to_numpy()
    position = {tuple(each): row for row, each in enumerate(index)}
    moved = [position.get((row, col + 2), here) for here, (row, col) in enumerate(index)]
    adata.obsm["own"], adata.obsm["moved"] = adata.obsm["s2s_image"], adata.obsm["s2s_image"][moved]
    s2s.tl.interpolate(adata, "kriging", covariates="own")
    with pytest.warns(UserWarning, match=r"covariates 'moved' fit better if shifted by x -1, y \+0 \(explained"):
        s2s.tl.interpolate(adata, "kriging", covariates=["s2s_image", "moved"])


def test_several_sections_have_their_own_images(section):
    spots = section.copy()
    del spots.uns["s2s"], spots.obs["s2s_measured"], spots.obs["s2s_held_out"]
    library = spots.uns["spatial"]["slide"]
    both = ad.concat({"a": spots, "b": spots}, label="library", index_unique="-")
    dark = {"images": {"hires": library["images"]["hires"] // 2 + 30}, "scalefactors": library["scalefactors"]}
    both.uns["spatial"] = {"a": library, "b": dark}
    dense = s2s.pp.grid(both, upsample=1, library_key="library")
    s2s.pp.image_features(dense)
    first = dense.obs["library"].to_numpy() == "a"
    assert not np.allclose(dense.obsm["s2s_image"][first], dense.obsm["s2s_image"][~first], atol=0.01)
    with pytest.raises(KeyError, match="no image of section b"):
        s2s.pp.image_features(dense, {"a": library["images"]["hires"]})


@pytest.fixture(scope="module")
def sdata(section):
    """The section and its image as a SpatialData; the image is placed in two coordinate systems, in two levels."""
    sd = pytest.importorskip("spatialdata")
    spots = section.copy()
    image = np.moveaxis(spots.uns["spatial"]["slide"]["images"]["hires"], -1, 0)
    scale = sd.transformations.Scale([2.0, 2.0], axes=("x", "y"))
    moved = sd.transformations.Sequence([scale, sd.transformations.Translation([300.0, -100.0], axes=("x", "y"))])
    placed = {"global": scale, "moved": moved}
    del spots.uns["spatial"]
    found = s2s.get.spatialdata(spots)
    where = sd.transformations.Translation([300.0, -100.0], axes=("x", "y"))
    sd.transformations.set_transformation(found["sites"], where, to_coordinate_system="moved")
    model = sd.models.Image2DModel
    found["he"] = model.parse(image, dims=("c", "y", "x"), transformations=placed)
    found["pyramid"] = model.parse(image, dims=("c", "y", "x"), scale_factors=[2], transformations=placed)
    found["dapi"] = model.parse(image[:1], dims=("c", "y", "x"), transformations=placed)
    found["elsewhere"] = model.parse(image, dims=("c", "y", "x"), transformations={"other": scale})
    return found


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_images_of_a_spatialdata_are_read_where_they_lie(sdata, described):
    expected, names = described.obsm["s2s_image"], described.uns["s2s"]["image"]["s2s_image"]["names"]
    for system in ("global", "moved"):
        adata = s2s.pp.from_spatialdata(sdata, coordinate_system=system)
        assert ("spatial" in adata.uns) == (system == "global")
        for img in (sdata["he"], sdata["pyramid"], sdata):
            s2s.pp.image_features(adata, img, coordinate_system=system)
            # uns["spatial"] has the centre of its first pixel at 0, spatialdata at 0.5.
            found = adata.obsm["s2s_image"]
            means = [number for number, name in enumerate(names) if "haematoxylin_mean" in name]
            correlation = np.corrcoef(found[:, means].T, expected[:, means].T)
            assert np.diag(correlation[: len(means), len(means) :]).min() > 0.97
    adata = s2s.pp.from_spatialdata(sdata)
    s2s.pp.image_features(adata)
    np.testing.assert_allclose(adata.obsm["s2s_image"], expected, atol=1e-6)
    assert s2s.pp.image_features(adata, sdata["dapi"], copy=True).obsm["s2s_image"].shape[1] == 10
    with pytest.raises(KeyError, match="coordinate system 'global' not found; the image is placed in: other"):
        s2s.pp.image_features(adata, sdata["elsewhere"])
    with pytest.raises(KeyError, match="no image shows the section in coordinate system 'none'"):
        s2s.pp.image_features(adata, sdata, coordinate_system="none")
    with pytest.raises(ValueError, match="have their own"):
        s2s.pp.image_features(adata, sdata["he"], transform=2)


def test_extractors_and_the_part_that_the_image_explains(described, section):
    assert described.uns["s2s"]["image"]["s2s_image"]["explained"][0] > 0.5
    options = {"extractor": lambda patches: torch.from_numpy(patches).float().mean(dim=(1, 2)), "patch_size": 16}
    embedding = s2s.pp.image_features(section, **options, batch_size=50, copy=True)
    assert embedding.obsm["s2s_image"].shape == (section.n_obs, 3)
    assert embedding.uns["s2s"]["image"]["s2s_image"]["explained"][0] > 0.3
    noise = np.random.default_rng(0).integers(80, 200, (420, 380, 3), dtype=np.uint8)
    useless = s2s.pp.image_features(section, noise, transform=0.5, copy=True)
    assert useless.uns["s2s"]["image"]["s2s_image"]["explained"][0] < 0.1
