"""What holds for every section, whatever its lattice, size, orientation, order, matrix and values.

S2S_EXAMPLES=20 draws twenty times as many examples, other ones in every run.
"""

import os
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import pdist

import s2s_scverse as s2s
from s2s_scverse._adata import read_section
from s2s_scverse._lattice import KINDS, Lattice

# OpenBLAS now and then says so of finite numbers whose product is finite (numpy/numpy#24067); NaN would be seen below.
pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value encountered in matmul:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:the median depth of array_"),
]

MORE = int(os.environ.get("S2S_EXAMPLES", "0"))
SEEDS = st.integers(0, 2**32 - 1)
CONSTANTS = st.sampled_from([0, 1, -1]).flatmap(lambda sign: st.floats(1e-3, 1e3).map(lambda size: sign * size))
FACTORS = st.floats(-3, 3).map(lambda power: 10**power)
ARRAY = ["array_row", "array_col"]
METHODS = ("nearest", "linear", "cubic", "idw", "rbf", "kriging", "pca_kriging")

# Differences are in units of the range of a gene's measured values. Where other columns stand beside a gene, sums over
# spots are rounded in another order: of float64 in thin-plate splines, of float32 in kriging and what is made of it.
# Some hundred sections differed by 6e-6 at most.
ROUNDED = 3e-5
SAME_COLUMN = dict.fromkeys(("nearest", "linear", "cubic", "idw"), 0.0) | dict.fromkeys(
    ("rbf", "kriging", "pca_kriging", "stack", "std", "reliability"), ROUNDED
)


def few(n):
    return settings(
        max_examples=n * MORE if MORE else -(-n // 2),
        deadline=None,
        derandomize=not MORE,
        database=None,
        phases=list(Phase) if MORE else [Phase.explicit, Phase.generate],  # shrinking takes minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )


class Drawn(NamedTuple):
    spots: ad.AnnData
    truth: Lattice
    """Where the spots lie, without jitter."""


@st.composite
def drawn(draw, *, most_holes=0.25, dtypes=("float32", "float64")):
    """A section of any kind, size, pitch and orientation, in any order."""
    rng = np.random.default_rng(draw(SEEDS))
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    n_rows, n_cols = draw(st.integers(6, 12)), draw(st.integers(6, 12))
    array = np.stack(np.meshgrid(np.arange(n_rows), np.arange(2 * n_cols), indexing="ij"), -1).reshape(-1, 2)
    array = array[array.sum(axis=1) % 2 == 0] if kind.name != "square" else array[array[:, 1] < n_cols]
    keep = rng.permutation(len(array))[: round(len(array) * (1 - draw(st.floats(0, most_holes))))]
    index = kind.index_from_array(array[keep if draw(st.booleans()) else np.sort(keep)])

    pitch = 10 ** draw(st.floats(-2, 4))
    # Right angles are what sections have, and where the choice between equally good lattices is closest.
    angle = draw(st.integers(0, 23).map(lambda part: part * np.pi / 12) | st.floats(0, 2 * np.pi))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turn = turn * [1, draw(st.sampled_from([1, -1]))]
    offset = pitch * np.array([draw(st.floats(-1000, 1000)), draw(st.floats(-1000, 1000))])
    truth = Lattice(kind, index, pitch * np.asarray(kind.unit_basis) @ turn, offset)
    jitter = pitch * draw(st.just(0) | st.floats(0, 0.01)) * rng.uniform(-1, 1, index.shape) / np.sqrt(2)

    n_genes = draw(st.integers(2, 5))
    values = draw(st.sampled_from([smooth, counted]))
    x = values(truth, n_genes, rng).astype(draw(st.sampled_from(dtypes)))
    x[~x.any(axis=1)] = x.max()  # spots without counts are no spots
    form = draw(st.sampled_from([np.asarray, sparse.csr_matrix, sparse.csc_matrix]))
    spots = ad.AnnData(form(x))
    spots.obs_names = [f"spot {number}" for number in rng.permutation(len(index))]
    spots.var_names = [f"gene {number}" for number in rng.permutation(n_genes)]
    spots.obs["domain"] = pd.Categorical(rng.choice(["a", "b"], len(index)))
    spots.obsm["spatial"] = truth.coordinates + jitter
    if draw(st.booleans()):
        spacing = draw(st.integers(1, 3)) if kind.name == "square" else 1
        array = kind.array_from_index(index) * spacing + [draw(st.integers(0, 9)), draw(st.integers(0, 9))]
        spots.obs[ARRAY] = array
    return Drawn(spots, truth)


def smooth(lattice, n_genes, rng):
    """Waves and noise, of either sign or not."""
    waves = lattice.unit_coordinates @ rng.normal(size=(2, n_genes)) * 0.4 + rng.uniform(0, 6, n_genes)
    values = (np.sin(waves) + rng.normal(size=waves.shape) * rng.uniform(0.01, 1, n_genes)) * rng.uniform(0.1, 5)
    return np.maximum(values, 0) if rng.random() < 0.5 else values


def counted(lattice, n_genes, rng):
    """Counts, normalised and logarithmic."""
    waves = lattice.unit_coordinates @ rng.normal(size=(2, n_genes)) * 0.4 + rng.uniform(0, 6, n_genes)
    depth = rng.lognormal(0, 0.5, (len(lattice), 1))
    found = rng.poisson(np.exp(np.sin(waves) + rng.uniform(0, 3)) * depth)
    return np.log1p(100 * found / np.maximum(found.sum(axis=1, keepdims=True), 1))


def dense_of(matrix):
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix)


def with_gene(spots, values):
    """The section with other values of the first gene."""
    x = dense_of(spots.X).copy()
    x[:, 0] = values
    spots = spots.copy()
    spots.X = x
    return spots


def interpolated(adata, methods=METHODS, **arguments):
    for method in methods:
        s2s.tl.interpolate(adata, method, max_distance=None, **arguments)
        assert np.isfinite(adata.layers[method]).all() or "genes" in arguments
    return {method: adata.layers[method] for method in methods}


def stacked(adata, **arguments):
    """The initial estimate of tl.impute, its standard deviations and reliability."""
    s2s.tl.impute(adata, preset="quick", max_distance=None, progress=False, **arguments)
    assert np.isfinite(adata.layers["s2s"]).all() or "genes" in arguments
    return {
        "stack": adata.layers["s2s"],
        "std": adata.layers["s2s_std"],
        "reliability": adata.var["s2s_reliability"].to_numpy()[None],
    }


def ranges(adata):
    """Of every gene, 1 for constant ones."""
    extent = np.ptp(dense_of(adata.X)[adata.obs["s2s_measured"].to_numpy()], axis=0)
    return np.where(extent > 0, extent, 1)


def same(found, expected, unit, most):
    """Compare what methods (or other names) lead to."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        tolerance = most[name] if isinstance(most, dict) else most
        scale = 1 if name == "reliability" else unit
        np.testing.assert_allclose(found[name] / scale, values / scale, rtol=0, atol=tolerance, err_msg=name)


@few(20)
@given(section=drawn(), upsample=st.integers(1, 3))
def test_the_lattice_is_found_and_obs_to_image_to_obs_is_the_identity(section, upsample):
    spots, truth = section
    dense = s2s.pp.grid(spots, upsample=upsample)
    found = read_section(dense)[1].lattice.subset(np.arange(spots.n_obs))
    # Without array positions a quincunx is a square lattice that lies askew.
    assert found.kind.n_neighbours == truth.kind.n_neighbours
    assert found.kind.name == truth.kind.name or "array_row" not in spots.obs
    assert found.pitch * upsample == pytest.approx(truth.pitch, rel=0.005)
    np.testing.assert_allclose(pdist(found.unit_coordinates), pdist(truth.unit_coordinates) * upsample, atol=1e-9)
    assert dense.uns["s2s"]["grid"]["residual"] < 0.01
    lattice, image = read_section(dense)[1].lattice, s2s.get.image(dense)
    u, v = (lattice.index - lattice.lower).T
    measured = dense.obs["s2s_measured"].to_numpy()
    expected = dense_of(dense.X).astype(np.float32).T
    tensor = image.to_numpy()
    np.testing.assert_array_equal(tensor[:, u[measured], v[measured]], expected[:, measured])
    for mask, sites in (("measured", measured), ("tissue", np.ones(dense.n_obs, bool))):
        assert image[mask].to_numpy()[u, v].tolist() == sites.tolist()
        assert image[mask].sum() == sites.sum()
    assert np.isfinite(tensor).sum() == measured.sum() * dense.n_vars
    at = np.stack([image[axis].to_numpy()[u, v] for axis in "xy"], axis=1)
    np.testing.assert_allclose(at, dense.obsm["spatial"], atol=0.02 * truth.pitch)
    gather, tissue = lattice.raster()
    np.testing.assert_array_equal(gather.ravel()[lattice.position], np.arange(dense.n_obs))
    np.testing.assert_array_equal(tissue, image["tissue"])


@few(20)
@given(section=drawn(), upsample=st.integers(1, 4))
def test_densified_then_sparsified_is_the_identity(section, upsample):
    spots = section.spots
    before = spots.copy()
    dense = s2s.pp.grid(spots, upsample=upsample)
    measured = dense.obs["s2s_measured"].to_numpy()
    assert measured[: spots.n_obs].all()
    for found in (spots, dense[measured]):
        assert found.obs_names.tolist() == before.obs_names.tolist()
        assert found.var_names.tolist() == before.var_names.tolist()
        np.testing.assert_array_equal(dense_of(found.X), dense_of(before.X))
        assert found.X.dtype == before.X.dtype
        np.testing.assert_array_equal(found.obsm["spatial"], before.obsm["spatial"])
        assert found.obs["domain"].tolist() == before.obs["domain"].tolist()

    # All sites measured, as if the section had been dense from the beginning.
    lattice = read_section(dense)[1].lattice
    holes = np.all((lattice.index - lattice.index[0]) % upsample == 0, axis=1) & ~measured
    phase = tuple(int(offset) for offset in (lattice.index[0] - lattice.lower) % upsample)
    dense.obs["spot"], dense.obs["s2s_measured"] = measured, True
    again = s2s.pp.sparsify(dense, stride=upsample, phase=phase, copy=True)
    np.testing.assert_array_equal(again.obs["s2s_measured"], measured | holes)
    s2s.pp.sparsify(dense, keep="spot")
    np.testing.assert_array_equal(dense.obs["s2s_measured"], measured)
    np.testing.assert_array_equal(dense.obs["s2s_held_out"], ~measured)


@few(10)
@given(section=drawn(most_holes=0), fill=st.sampled_from(["tissue", "hull"]))
def test_sparsified_then_densified_is_the_identity(section, fill):
    dense = s2s.pp.grid(section.spots, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    spots = dense[dense.obs["s2s_measured"].to_numpy()].copy()
    again = s2s.pp.grid(spots, upsample=2, fill=fill)
    lattice, other = read_section(dense)[1].lattice, read_section(again)[1].lattice
    shift = lattice.index[np.flatnonzero(dense.obs["s2s_measured"])[0]] - other.index[0]
    sites = lattice.find(other.index + shift)
    assert (sites >= 0).all()
    assert dense.obs_names[sites[: spots.n_obs]].tolist() == spots.obs_names.tolist()
    gap = np.linalg.norm(again.obsm["spatial"] - dense.obsm["spatial"][sites], axis=1)
    assert gap.max() < 0.05 * section.truth.pitch


@few(20)
@given(section=drawn(), upsample=st.integers(1, 2), factor=FACTORS, seed=SEEDS)
def test_the_lattice_depends_on_neither_order_nor_unit(section, upsample, factor, seed):
    spots = section.spots
    order = np.random.default_rng(seed).permutation(spots.n_obs)
    other = spots[order].copy()
    other.obsm["spatial"] = other.obsm["spatial"] * factor
    dense, other = (s2s.pp.grid(each, upsample=upsample) for each in (spots, other))
    grids = [each.uns["s2s"]["grid"] for each in (dense, other)]
    assert dense.obs_names[spots.n_obs :].tolist() == other.obs_names[spots.n_obs :].tolist()
    other = other[dense.obs_names]
    pd.testing.assert_frame_equal(other.obs[ARRAY], dense.obs[ARRAY])
    np.testing.assert_array_equal(dense_of(other.X), dense_of(dense.X))
    atol = 1e-6 * section.truth.pitch
    np.testing.assert_allclose(other.obsm["spatial"] / factor, dense.obsm["spatial"], rtol=0, atol=atol)
    np.testing.assert_allclose(grids[1]["basis"] / factor, grids[0]["basis"], rtol=0, atol=atol)
    assert grids[1]["pitch"] / factor == pytest.approx(grids[0]["pitch"])
    assert grids[1]["residual"] == pytest.approx(grids[0]["residual"], abs=1e-6)


@few(6)
@given(section=drawn(), upsample=st.integers(1, 3), constant=CONSTANTS, fill=st.sampled_from(["tissue", "hull", "all"]))
@pytest.mark.filterwarnings("ignore:every site is measured")
def test_constants_come_back(section, upsample, constant, fill):
    spots = with_gene(section.spots, constant)
    dense = s2s.pp.grid(spots, upsample=upsample, fill=fill)
    found = interpolated(dense)
    if not dense.obs["s2s_measured"].all():
        found["stack"] = stacked(dense)["stack"]
    expected = np.full(dense.n_obs, constant, np.float32)
    same({name: f[:, 0] for name, f in found.items()}, dict.fromkeys(found, expected), abs(constant) or 1, 1e-6)


def test_constants_beside_one_gene_that_varies_come_back(quick):
    spots = s2s.datasets.simulated_tissue(n_rows=10, n_cols=10, n_genes=6)
    constants = np.float32([0, 0.1, 1.1, -7, 1e3])
    spots.X = np.column_stack([np.log1p(spots.X.toarray()[:, 0]), np.tile(constants, (spots.n_obs, 1))])
    dense = s2s.pp.grid(spots, upsample=2)
    s2s.tl.impute(dense, **quick)
    for values in (dense.layers["s2s"], *interpolated(dense).values()):
        np.testing.assert_allclose(values[:, 1:], np.tile(constants, (dense.n_obs, 1)), rtol=1e-6)


# Triangles and thin-plate splines contain planes. The gradients of cubic patches are iterated until they change by less
# than 1e-6. Kriging with an unknown but constant mean does not contain planes: between spots, and above all in holes,
# it is drawn towards the mean, and so is all that is made of it; in PCA kriging and the stack other genes have a say.
PLANES = {"linear": 1e-6, "cubic": 1e-4, "rbf": 1e-6, "kriging": 0.1, "pca_kriging": 0.15, "stack": 0.3}


@few(6)
@given(section=drawn(), upsample=st.integers(2, 3), direction=st.floats(0, 2 * np.pi), size=st.floats(1e-3, 1e3))
def test_planes_come_back_inside_the_hull(section, upsample, direction, size):
    slope = size * np.array([np.cos(direction), np.sin(direction)])
    spots = with_gene(section.spots, section.truth.unit_coordinates @ slope)
    dense = s2s.pp.grid(spots, upsample=upsample, fill="hull")
    depth = {"total_counts": None}  # drawn planes may look like counts
    found = interpolated(dense, tuple(PLANES)[:-1], **depth) | {"stack": stacked(dense, **depth)["stack"]}
    # The lattice that was found may be a turned one.
    unit = np.column_stack([read_section(dense)[1].lattice.unit_coordinates, np.ones(dense.n_obs)])
    plane = dense_of(spots.X)[:, 0].astype(np.float64)
    expected = unit @ np.linalg.lstsq(unit[: spots.n_obs], plane, rcond=None)[0]
    same({name: f[:, 0] for name, f in found.items()}, dict.fromkeys(found, expected), np.ptp(plane), PLANES)


# Sites are sorted by position before anything is computed or drawn by lot: the same, bit for bit.


@few(4)
@given(section=drawn(), seed=SEEDS, factor=FACTORS)
def test_neither_the_order_of_obs_nor_the_unit_matters(section, seed, factor):
    rng = np.random.default_rng(seed)
    dense = s2s.pp.grid(section.spots, upsample=2)
    after = dense[rng.permutation(dense.n_obs)].copy()
    spots = section.spots[rng.permutation(section.spots.n_obs)].copy()
    spots.obsm["spatial"] = spots.obsm["spatial"] * factor
    expected = interpolated(dense) | stacked(dense)
    for other in (s2s.pp.grid(spots, upsample=2), after):
        order = other.obs_names.get_indexer(dense.obs_names)
        found = interpolated(other) | stacked(other)
        same({name: f[order] if len(f) > 1 else f for name, f in found.items()}, expected, 1, 0)


# Values that are no counts beside counts hide how deep spots were sequenced: so depths are left alone.
@few(4)
@given(section=drawn(), seed=SEEDS, constant=CONSTANTS, size=st.integers(1, 3))
def test_neither_the_order_of_genes_nor_a_constant_one_nor_blocks_matter(section, seed, constant, size):
    dense, depth = s2s.pp.grid(section.spots, upsample=2), {"total_counts": None}
    genes = np.random.default_rng(seed).permutation(dense.n_vars)
    x = dense_of(dense.X)[:, genes]
    other = ad.AnnData(np.insert(x, 1, constant, axis=1), obs=dense.obs, obsm=dict(dense.obsm), uns=dense.uns)
    expected, found = (interpolated(each, **depth) | stacked(each, **depth) for each in (dense, other))
    wanted = {name: e[:, genes] for name, e in expected.items()}
    same({name: np.delete(f, 1, axis=1) for name, f in found.items()}, wanted, ranges(dense)[genes], SAME_COLUMN)
    block = slice(-size, None)
    asked = dense.var_names[block].tolist()[::-1]
    found = interpolated(dense.copy(), genes=asked, **depth) | stacked(dense.copy(), genes=asked, **depth)
    for name, each in found.items():
        assert name == "reliability" or np.isfinite(each).any(axis=0).sum() == len(asked)
        same({name: each[:, block]}, {name: expected[name][:, block]}, ranges(dense)[block], SAME_COLUMN)


# All is computed from values in float32 but the depth of spots, which is read from values as they are.
@few(4)
@given(section=drawn(dtypes=("float64",)))
def test_float32_agrees_with_float64(section):
    double, single = section.spots, section.spots.copy()
    single.X, single.obsm["spatial"] = single.X.astype("float32"), single.obsm["spatial"].astype("float32")
    dense, other = (s2s.pp.grid(each, upsample=2) for each in (double, single))
    pd.testing.assert_frame_equal(other.obs, dense.obs)
    same(interpolated(other, total_counts=None), interpolated(dense, total_counts=None), 1, 0)
    same(stacked(other), stacked(dense), ranges(dense), ROUNDED)


# The same with a trained network.


def test_trained_on_shuffled_obs_in_other_units_and_float64(section, imputed, quick):
    spots = section[section.obs["s2s_measured"] | section.obs["s2s_held_out"]].copy()
    spots.obs = spots.obs.drop(columns=["s2s_measured", "s2s_held_out"])
    spots = spots[np.random.default_rng(0).permutation(spots.n_obs)].copy()
    spots.obsm["spatial"], spots.X = spots.obsm["spatial"] * 0.37, spots.X.astype("float64")
    other = s2s.pp.grid(spots, upsample=1)
    s2s.pp.sparsify(other, stride=2)
    s2s.tl.impute(other, **quick)
    for layer in ("s2s", "s2s_std"):
        np.testing.assert_array_equal(other[imputed.obs_names].layers[layer], imputed.layers[layer])
    np.testing.assert_array_equal(other.var["s2s_reliability"], imputed.var["s2s_reliability"])


# Which genes a step of training looks at is drawn by their number: shuffled, the network is another one.
def test_trained_on_shuffled_genes_up_to_training_noise(section, imputed, quick):
    other = section[:, np.random.default_rng(0).permutation(section.n_vars)].copy()
    s2s.tl.impute(other, **quick)
    hidden = section.obs["s2s_held_out"].to_numpy()
    here, there = imputed.layers["s2s"][hidden], other[:, imputed.var_names].layers["s2s"][hidden]
    error = here - section.X[hidden].toarray()
    assert np.square(here - there).mean() < 0.05 * np.square(error).mean()
