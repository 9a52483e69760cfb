import numpy as np
import pytest
from matplotlib.axes import Axes

import s2s_scverse as s2s
from s2s_scverse.pl._image_features import leading_components


@pytest.fixture
def described(make_lattice, build_section, stained):
    """Three rows of three sites; descriptors follow x, its negative, y, and nothing."""
    lattice = make_lattice("square", 3, 3)
    adata = build_section(lattice, np.arange(9), np.ones(9))
    x, y = (lattice.coordinates - lattice.coordinates.mean(axis=0)).T
    adata.obsm["s2s_image"] = np.column_stack([2 * x, -3 * x - 1, y, np.ones(9)]).astype(np.float32)
    names = ["eosin_mean", "eosin_std", "blue", "none"]
    adata.uns["s2s"]["image"] = {"s2s_image": {"names": np.array(names, dtype=object), "extractor": "stain"}}
    adata.uns["spatial"] = stained
    return adata


def test_components_of_known_descriptors(described):
    scores, parts, loadings = leading_components(described, "s2s_image", 5)
    np.testing.assert_allclose(parts, [2 / 3, 1 / 3])  # constant ones do not count
    x, y = described.obsm["spatial"].T
    np.testing.assert_allclose(np.abs(np.corrcoef(scores[:, 0], x)[0, 1]), 1, atol=1e-6)
    np.testing.assert_allclose(np.corrcoef(scores[:, 1], y)[0, 1], 1, atol=1e-6)
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=1e-6)
    assert loadings.shape == (2, 4)


def test_components_stand_next_to_the_tissue(described, colour_at):
    axes = s2s.pl.image_features(described, figsize=(9, 3), show=False)
    assert [axis.get_title() for axis in axes[0]] == [
        "image",
        "component 1, 67\N{NO-BREAK SPACE}%",
        "component 2, 33\N{NO-BREAK SPACE}%",
    ]
    assert [axis.get_xlabel().replace("\n", " ") for axis in axes[0]][2] == "blue"
    points = [(104, 206), (118, 214)]
    np.testing.assert_allclose(colour_at(axes[0, 0], *points)[:, :2] * 255, points, atol=3)
    assert isinstance(s2s.pl.image_features(described, n_components=1, img=False, show=False), Axes)
