import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_scverse._lattice import KINDS, Lattice, regular_sample

BASIS = np.array([[0.0, 2.0], [2.0, 0.0]])


def square(index):
    return Lattice(KINDS["square"], np.asarray(index), BASIS, np.array([5.0, 7.0]))


def test_raster_shows_the_nearest_site_outside_the_tissue():
    raster = square([[0, 0], [0, 3], [2, 0]]).raster()
    assert raster.gather.shape == (3, 4)
    assert raster.tissue.sum() == 3
    assert raster.gather[0].tolist()[0] == 0
    assert raster.gather[0, 3] == 1
    assert raster.gather[1, 3] == 1
    assert raster.gather[2, 1] == 2


@given(
    name=st.sampled_from(sorted(KINDS)),
    cells=st.sets(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=40),
    factor=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_index_survives_image_densify_and_symmetry(name, cells, factor):
    lattice = Lattice(KINDS[name], np.array(sorted(cells)), np.array([[1.0, 0.2], [-0.1, 1.5]]), np.zeros(2))
    raster = lattice.raster()
    sites = np.arange(len(lattice))
    assert np.array_equal(raster.gather.ravel()[lattice.position], sites)  # sites -> image -> sites

    dense = lattice.densified(factor)
    np.testing.assert_allclose(dense.coordinates, lattice.coordinates, atol=1e-9)
    assert np.array_equal(dense.coarsened(factor).index - lattice.index, np.zeros_like(lattice.index))
    assert dense.stride(np.ones(len(lattice), bool)) % factor == 0 or len(lattice) == 1

    for symmetry in lattice.kind.symmetries:
        turned = lattice.transformed(symmetry)
        assert np.array_equal(turned.transformed(np.linalg.inv(symmetry).round().astype(int)).index, lattice.index)
        assert np.array_equal(turned.raster().gather.ravel()[turned.position], sites)


def test_stride_is_the_common_spacing_of_measured_sites():
    lattice = square(np.stack(np.meshgrid(np.arange(9), np.arange(9), indexing="ij"), -1).reshape(-1, 2))
    for stride in (1, 2, 3):
        measured = regular_sample(lattice, stride, (stride - 1, 0))
        assert lattice.stride(measured) == stride
    measured[:] = False
    measured[40] = True
    assert lattice.stride(measured) == 1
