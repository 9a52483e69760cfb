"""Odd input that is no error, case by case: the outcome is that of plain input, and nothing else was changed."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist

import s2s_scverse as s2s

CASES: list[Any] = []

Change = Callable[[ad.AnnData, Any], ad.AnnData | None]
"""Takes an AnnData and a folder; changes the AnnData in place, or returns another."""

# Of formats that will be the default of others, and of names that AnnData puts up with.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:UserWarning")
    for message in (".*zarr v[23]", "Consolidated metadata is currently not part", r"\s*AnnData expects .var.index")
]
pytestmark += [pytest.mark.filterwarnings("ignore:Transforming to str index:UserWarning")]  # said of numbers as names


# What is done, and how the outcome is compared to that of plain input.


def laid(adata: ad.AnnData) -> ad.AnnData:
    return s2s.pp.grid(adata)


def imputed(adata: ad.AnnData, **arguments: Any) -> ad.AnnData:
    s2s.tl.impute(adata, progress=False, **({"preset": "quick", "natural_images": None} | arguments))
    return adata


def interpolated(adata: ad.AnnData) -> ad.AnnData:
    s2s.tl.interpolate(adata, "kriging", key_added="s2s")
    return adata


def values(matrix: Any) -> np.ndarray:
    matrix = matrix.compute() if hasattr(matrix, "compute") else matrix
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def table(adata: ad.AnnData, *columns: str) -> pd.DataFrame:
    """Columns of obs by the name of the site, which does not depend on the order of sites."""
    found = adata.obs[list(columns)].astype(float)
    found.index = found.index.astype(str)
    return found.sort_index()


def same_sites(found: ad.AnnData, plain: ad.AnnData) -> None:
    pd.testing.assert_frame_equal(
        *(table(adata, "array_row", "array_col", "s2s_measured") for adata in (found, plain)), check_index_type=False
    )
    grids = [adata.uns["s2s"]["grid"] for adata in (found, plain)]
    assert grids[0]["kind"] == grids[1]["kind"]
    assert grids[0]["stride"] == grids[1]["stride"]
    assert grids[0]["shape"].tolist() == grids[1]["shape"].tolist()


def same_grid(found: ad.AnnData, plain: ad.AnnData, *, units: float = 1, offset: float = 0) -> None:
    """The same sites at the same places, in other units."""
    same_sites(found, plain)
    order = np.argsort(found.obs_names.astype(str)), np.argsort(plain.obs_names.astype(str))
    places = [np.asarray(adata.obsm["spatial"])[rows] for adata, rows in zip((found, plain), order, strict=True)]
    np.testing.assert_allclose(places[0], places[1] * units + offset, rtol=1e-5, atol=1e-3 * units)
    assert found.uns["s2s"]["grid"]["pitch"] == pytest.approx(plain.uns["s2s"]["grid"]["pitch"] * units, rel=1e-5)
    np.testing.assert_array_equal(values(found.X)[order[0]], values(plain.X)[order[1]])


def same_up_to_symmetry(found: ad.AnnData, plain: ad.AnnData) -> None:
    """Spots are as far from one another on the lattice; which way it is turned is arbitrary."""
    far = [
        pdist(
            table(adata, "array_row", "array_col", "s2s_measured").query("s2s_measured == 1").iloc[:, :2], "cityblock"
        )
        for adata in (found, plain)
    ]
    np.testing.assert_array_equal(*far)
    assert found.n_obs == plain.n_obs
    assert sorted(found.uns["s2s"]["grid"]["shape"]) == sorted(plain.uns["s2s"]["grid"]["shape"])


def same_layers(found: ad.AnnData, plain: ad.AnnData) -> None:
    """Bit for bit, by the name of the site."""
    order = np.argsort(found.obs_names.astype(str)), np.argsort(plain.obs_names.astype(str))
    for key in ("s2s", "s2s_std"):
        assert (key in found.layers) == (key in plain.layers)
        if key in plain.layers:
            assert found.layers[key].dtype == np.float32
            np.testing.assert_array_equal(values(found.layers[key])[order[0]], values(plain.layers[key])[order[1]])
    reliability = [adata.var.get("s2s_reliability") for adata in (found, plain)]
    if reliability[1] is not None:
        np.testing.assert_array_equal(*reliability)
    np.testing.assert_array_equal(
        found.obs["s2s_visible"].to_numpy()[order[0]], plain.obs["s2s_visible"].to_numpy()[order[1]]
    )


def case(
    name: str,
    start: str,
    call: Callable[..., ad.AnnData],
    same: Callable[..., None],
    *,
    plain: Change | None = None,
    warning: str | None = None,
) -> Callable[[Change], Change]:
    """Register a change to `spots`, or to a section on its lattice (`dense`), that the call puts up with.

    `plain` is the change to compare with, none by default; `warning` what the user is told.
    """

    def register(change: Change) -> Change:
        CASES.append(pytest.param(start, change, call, same, plain, warning, id=f"{name}, {call.__name__}"))
        return change

    return register


def matrix(name: str, convert: Callable[[Any], Any], **more: Any) -> None:
    """Register another way to store the values, which must make no difference to anything."""

    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        adata.X = convert(adata.X)

    for call in (imputed, interpolated):
        case(name, "dense", call, same_layers, **more)(change)
    case(name, "spots", laid, same_grid, plain=more.get("plain"))(change)


# How values are stored.


def unsorted(found: Any) -> Any:
    """Each row's columns in falling order."""
    rows = [found[[row]].tocoo() for row in range(found.shape[0])]
    data, indices = (np.concatenate([part[::-1] for part in parts]) for parts in zip(*map(parts_of, rows), strict=True))
    result = sparse.csr_matrix((data, indices, found.indptr), shape=found.shape)
    assert not result.has_sorted_indices
    return result


def parts_of(row: Any) -> tuple[np.ndarray, np.ndarray]:
    return row.data, row.col


def with_zeros(found: Any) -> Any:
    """Every value stored, zeros too."""
    dense = found.toarray()
    where = np.indices(dense.shape).reshape(2, -1)
    result = sparse.csr_matrix(dense)
    result = type(found)((dense.ravel(), where[1], np.arange(len(dense) + 1) * dense.shape[1]), shape=dense.shape)
    assert result.nnz == dense.size
    return result


def in_halves(found: Any) -> Any:
    """Every value as the sum of two."""
    coo = found.tocoo()
    order = np.argsort(np.tile(coo.row, 2), kind="stable")
    data, indices = np.tile(coo.data / 2, 2)[order], np.tile(coo.col, 2)[order]
    result = sparse.csr_matrix((data, indices, found.indptr * 2), shape=found.shape)
    assert not result.has_canonical_format
    return result


def long_indices(found: Any) -> Any:
    found = found.copy()
    found.indices, found.indptr = found.indices.astype(np.int64), found.indptr.astype(np.int64)
    return found


matrix("csc", sparse.csc_matrix)
matrix("csr_array", sparse.csr_array)
matrix("csc_array", sparse.csc_array)
matrix("dense", lambda x: x.toarray())
matrix("float64", lambda x: x.astype(np.float64))
matrix("big-endian", lambda x: x.toarray().astype(">f4"))
matrix("in columns", lambda x: np.asfortranarray(x.toarray()))
matrix("unsorted indices", unsorted)
matrix("explicit zeros", with_zeros)
matrix("values in two parts", in_halves)
matrix("int64 indices", long_indices)
matrix("int64 indices of csc", lambda x: long_indices(x.tocsc()))
matrix("dask", lambda x: da.from_array(x.toarray(), chunks=(20, 4)))
matrix("dask of csr", lambda x: da.from_array(x, chunks=(20, 6), asarray=False))


def counts(kind: Any, *, dense: bool = True) -> Change:
    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        whole = np.minimum(np.round(np.expm1(adata.X.toarray())), 250)
        adata.X = whole.astype(kind) if dense else sparse.csr_matrix(whole.astype(kind))

    return change


for kind in ("uint8", "int16", "int64", "uint64", "float16"):
    for dense in (True, False):
        if kind == "float16" and not dense:
            continue  # scipy has none
        for call in (imputed, interpolated):
            case(
                f"{'dense' if dense else 'sparse'} {kind} counts",
                "dense",
                call,
                same_layers,
                plain=counts("float32"),
                warning="values look like counts; call s2s.pp.normalize" if call is imputed else None,
            )(counts(kind, dense=dense))


# Files.


def in_file(kind: str, *, dense: bool = False) -> Change:
    def change(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
        if dense:
            adata.X = adata.X.toarray()
        if kind.startswith("h5ad"):
            adata.write_h5ad(tmp_path / "x.h5ad")
            return ad.read_h5ad(tmp_path / "x.h5ad", backed=kind.removeprefix("h5ad "))
        with ad.settings.override(zarr_write_format=2 if "v2" in kind else 3):
            adata.write_zarr(tmp_path / "x.zarr")
        if "lazy" in kind:
            return ad.experimental.read_lazy(tmp_path / "x.zarr")
        return ad.read_zarr(tmp_path / "x.zarr")

    return change


for kind in ("h5ad r", "h5ad r+", "zarr v2", "zarr v3", "lazy zarr v2", "lazy zarr v3"):
    for dense in (True, False):
        name = f"{kind}, {'dense' if dense else 'sparse'}"
        for call in (imputed, interpolated):
            case(name, "dense", call, same_layers)(in_file(kind, dense=dense))
        case(name, "spots", laid, same_grid)(in_file(kind, dense=dense))


# Names, tables and masks.


def every_kind_of_column(adata: ad.AnnData, tmp_path: Any) -> None:
    n = np.arange(adata.n_obs)
    adata.obs = adata.obs.assign(
        **{
            "float": n / 7,
            "integer": n,
            "byte": n.astype(np.uint8),
            "boolean": n % 2 == 0,
            "text": [f"t{i % 3}" for i in n],
            "category": pd.Categorical([f"t{i % 3}" for i in n]),
            "ordered": pd.Categorical(n % 3, ordered=True),
            "nullable integer": pd.array(np.where(n % 5, n, 0), dtype="Int64"),
            "nullable boolean": pd.array(n % 2 == 0, dtype="boolean"),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(n, unit="D"),
            "complex": n * 1j,
            "missing": [None] * len(n),
        }
    )
    adata.var = adata.var.assign(number=np.arange(adata.n_vars), category=pd.Categorical(["a", "b"] * 3))


def everything_else(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.raw = adata
    adata.obsm["table"] = pd.DataFrame({"number": np.arange(adata.n_obs), "text": "x"}, index=adata.obs_names)
    adata.obsm["sparse"] = sparse.eye(adata.n_obs, 5, format="csr")
    adata.varm["loadings"] = np.ones((adata.n_vars, 3))
    adata.obsp["distances"] = sparse.eye(adata.n_obs, format="csr")
    adata.varp["correlations"] = np.eye(adata.n_vars)
    adata.layers["other"] = adata.X.copy()
    adata.uns["other"] = {"deep": {"list": [1, "a"], "number": np.float32(3)}}


def numbered_genes(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.var_names = range(adata.n_vars)


def numbered_spots(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.obs_names = range(1000, 1000 + adata.n_obs)


def numbers_as_text(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.obs_names = [str(number) for number in range(1000, 1000 + adata.n_obs)]


def categorical_genes(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.var_names = pd.CategoricalIndex(adata.var_names)


def shuffled(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
    return adata[np.random.default_rng(5).permutation(adata.n_obs)].copy()


def viewed(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
    view = adata[:, :]
    assert view.is_view
    return view


def halved_view(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
    return adata[:, ::2]


def halved(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
    return adata[:, ::2].copy()


for call, start, same in (
    (imputed, "dense", same_layers),
    (interpolated, "dense", same_layers),
    (laid, "spots", same_grid),
):
    for change in (every_kind_of_column, everything_else, numbered_genes, categorical_genes, shuffled):
        case(change.__name__.replace("_", " "), start, call, same)(change)
    case("numbered spots", start, call, same, plain=numbers_as_text)(numbered_spots)
    told = None if call is laid else r"Received a view of an AnnData\. Making a copy\."
    case("a view", start, call, same, warning=told)(viewed)
    case("a view of some genes", start, call, same, plain=halved, warning=told)(halved_view)


def with_mask(convert: Callable[[pd.Series], Any]) -> Change:
    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        adata.obs = adata.obs.assign(**{key: convert(adata.obs[key]) for key in ("s2s_measured", "s2s_held_out")})

    return change


for kind in ("category", "object", "boolean", "int64", "float32"):
    for call in (imputed, interpolated):
        case(f"masks of dtype {kind}", "dense", call, same_layers)(
            with_mask(lambda mask, kind=kind: mask.astype(kind))  # type: ignore[misc]
        )


# The lattice.


def with_array(convert: Callable[[pd.Series], Any]) -> Change:
    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        adata.obs = adata.obs.assign(**{key: convert(adata.obs[key]) for key in ("array_row", "array_col")})

    return change


for kind in ("float64", "float32", "float16", "uint8", "int8", "int64", "uint64", "Int64", "Float64"):
    case(f"array positions of dtype {kind}", "spots", laid, same_grid)(
        with_array(lambda array, kind=kind: array.astype(kind))  # type: ignore[misc]
    )
case("array positions below 0", "spots", laid, same_grid)(with_array(lambda array: array - 77))
case("array positions from a billion", "spots", laid, same_grid)(with_array(lambda array: array.astype(int) + 10**9))
case("every third array position", "spots", laid, same_grid)(with_array(lambda array: array * 3))


def with_coordinates(convert: Callable[[np.ndarray], Any], *, array: bool = False) -> Change:
    """Other coordinates, which the lattice is fitted to unless there are array positions."""

    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        if not array:
            adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
        found = convert(np.asarray(adata.obsm["spatial"], dtype=float))
        adata.obsm["spatial"] = found

    return change


fitted = with_coordinates(lambda found: found)


def turned(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def jittered(found: np.ndarray) -> np.ndarray:
    """Root mean square 1 % of the pitch, which is 100."""
    return found + np.random.default_rng(0).normal(scale=np.sqrt(0.5), size=found.shape)


case("a fitted lattice", "spots", laid, same_grid)(fitted)
for name, units, offset in (("metres", 1e-6, 0), ("pixels", 1 / 0.2738, 1234.5), ("nanometres", 1e3, 0)):

    def rescaled(found: np.ndarray, units: float = units, offset: float = offset) -> np.ndarray:
        return found * units + offset

    there = partial(same_grid, units=units, offset=offset)
    for array in (True, False):
        case(f"{name}{' and array positions' if array else ''}", "spots", laid, there)(
            with_coordinates(rescaled, array=array)
        )
for degrees in (1, 30, 45, 90, 180, 213):
    case(f"turned by {degrees} degrees", "spots", laid, same_up_to_symmetry, plain=fitted)(
        with_coordinates(lambda found, degrees=degrees: found @ turned(degrees))  # type: ignore[misc]
    )
    case(f"turned by {degrees} degrees, array positions", "spots", laid, same_sites)(
        with_coordinates(lambda found, degrees=degrees: found @ turned(degrees), array=True)  # type: ignore[misc]
    )
case("mirrored", "spots", laid, same_up_to_symmetry, plain=fitted)(with_coordinates(lambda found: found * [-1, 1]))
case("mirrored, array positions", "spots", laid, same_sites)(
    with_coordinates(lambda found: found * [-1, 1], array=True)
)
case("x and y exchanged", "spots", laid, same_up_to_symmetry, plain=fitted)(
    with_coordinates(lambda found: found[:, ::-1])
)
case("1 % jitter", "spots", laid, same_sites, plain=fitted)(with_coordinates(jittered))
case("1 % jitter, array positions", "spots", laid, same_sites)(with_coordinates(jittered, array=True))
case("unsorted coordinates", "spots", laid, same_up_to_symmetry, plain=fitted)(
    lambda adata, tmp_path: fitted(shuffled := adata[::-1].copy(), tmp_path) or shuffled
)
for kind in ("float32", "int32", "uint16"):
    case(f"coordinates of dtype {kind}", "spots", laid, same_grid)(
        with_coordinates(lambda found, kind=kind: found.astype(kind))  # type: ignore[misc]
    )


@case("coordinates in a table", "spots", laid, same_grid)
def _(adata: ad.AnnData, tmp_path: Any) -> None:
    adata.obsm["spatial"] = pd.DataFrame(adata.obsm["spatial"], index=adata.obs_names, columns=["x", "y"])


# Little, or nothing, to see.


def as_measured(found: ad.AnnData, plain: ad.AnnData) -> None:
    """What is measured stays, and there is a value everywhere."""
    measured = found.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(found.layers["s2s"][measured], values(found.X)[measured])
    assert np.isfinite(found.layers["s2s"]).all()


def zero_where_nothing_is(found: ad.AnnData, plain: ad.AnnData) -> None:
    as_measured(found, plain)
    measured = found.obs["s2s_measured"].to_numpy()
    nothing = ~values(found.X)[measured].any(axis=0)
    assert nothing.any()
    assert not found.layers["s2s"][:, nothing].any()


def only(keep: Callable[[ad.AnnData], Any], *, upsample: int = 2) -> Change:
    """A section of a few of the spots."""

    def change(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
        spots = adata[adata.obs["s2s_measured"] | adata.obs["s2s_held_out"]].copy()
        spots.obs = spots.obs[["array_row", "array_col"]]
        del spots.uns["s2s"]
        return s2s.pp.grid(spots[keep(spots)].copy(), upsample=upsample, fill="all")

    return change


def in_one_row(spots: ad.AnnData) -> Any:
    return spots.obs["array_row"] == spots.obs["array_row"].mode()[0]


def without_unmeasured(adata: ad.AnnData, tmp_path: Any) -> ad.AnnData:
    return adata[adata.obs["s2s_measured"]].copy()


def with_zeros_in(axis: int, where: Any) -> Change:
    def change(adata: ad.AnnData, tmp_path: Any) -> None:
        dense = adata.X.toarray()
        np.moveaxis(dense, axis, 0)[where] = 0
        adata.X = sparse.csr_matrix(dense)

    return change


def first_measured(adata: ad.AnnData, tmp_path: Any) -> None:
    """The first 5 measured spots without any count."""
    dense = adata.X.toarray()
    dense[np.flatnonzero(adata.obs["s2s_measured"])[:5]] = 0
    adata.X = sparse.csr_matrix(dense)


case("genes without counts", "dense", imputed, zero_where_nothing_is)(with_zeros_in(1, [0, 3]))
case("genes without counts", "dense", interpolated, zero_where_nothing_is)(with_zeros_in(1, [0, 3]))
case("spots without counts", "dense", imputed, as_measured)(first_measured)
case("spots without counts", "dense", interpolated, as_measured)(first_measured)
case("1 spot", "dense", imputed, as_measured, warning="every site is measured: there is nothing to impute")(
    only(lambda spots: slice(0, 1))
)
case("2 spots", "dense", imputed, as_measured, warning="only 2 spots are measured")(only(lambda spots: slice(0, 2)))
case("1 row", "dense", imputed, as_measured, warning="only .* spots are measured")(only(in_one_row))
case("1 row", "dense", interpolated, as_measured)(only(in_one_row))
case("1 gene", "dense", interpolated, as_measured)(lambda adata, tmp_path: adata[:, :1].copy())
case("1 gene", "dense", imputed, as_measured)(lambda adata, tmp_path: adata[:, :1].copy())
for call in (imputed, interpolated):
    case("0 unmeasured sites", "dense", call, as_measured, warning="every site is measured: there is nothing to")(
        without_unmeasured
    )


# Natural images.


def crops(images: Any) -> np.ndarray:
    return s2s.datasets.natural_images(images, size=(12, 10), n=4)


bytes_of = (np.random.default_rng(2).random((40, 50)) * 255).astype(np.uint8)
IMAGES = {
    "bytes": (bytes_of, 0),
    "float32": ((bytes_of / 255).astype(np.float32), 1e-6),
    "float64": (bytes_of / 255, 0),
    "grey in colour": (np.stack([bytes_of] * 3, axis=-1), 1e-6),
    "with transparency": (np.stack([*[bytes_of] * 3, bytes_of // 2], axis=-1), 1e-6),
    "a list of one": ([bytes_of], 0),
    "a stack of one": (bytes_of[None], 0),
    "in columns": (np.asfortranarray(bytes_of), 1e-6),
}


@pytest.mark.parametrize(("images", "tolerance"), IMAGES.values(), ids=IMAGES)
def test_images_of_other_kinds(images: Any, tolerance: float) -> None:
    np.testing.assert_allclose(crops(images), crops(bytes_of), rtol=0, atol=tolerance)


def test_images_whose_range_is_stretched() -> None:
    lifted = bytes_of.astype(np.int64) * 7 - 900
    full = (bytes_of - bytes_of.min()) / np.ptp(bytes_of).astype(float)
    np.testing.assert_allclose(crops(lifted), crops(full), rtol=0, atol=1e-6)
    np.testing.assert_allclose(crops(bytes_of > 99), crops((bytes_of > 99) * 1.0), rtol=0, atol=0)


def test_images_of_different_sizes(tmp_path: Any) -> None:
    from skimage.io import imsave

    images = [bytes_of, bytes_of[:9, :30], np.stack([bytes_of.T] * 3, axis=-1)]
    for number, image in enumerate(images):
        imsave(tmp_path / f"{number}.png", image, check_contrast=False)
    (tmp_path / "notes.txt").touch()
    np.testing.assert_array_equal(crops(images), crops(tmp_path))
    np.testing.assert_array_equal(crops(images), crops(str(tmp_path)))


def test_imputing_with_images_of_other_kinds(fresh_dense: ad.AnnData, tmp_path: Any) -> None:
    training = s2s.tl.TrainingConfig(max_epochs=1, steps_per_epoch=2, masks=2, batch_size=2, n_images=2, shrink=False)
    found = [
        imputed(fresh_dense.copy(), training=training, natural_images=images).layers["s2s"]
        for images in (bytes_of, [bytes_of / 255])
    ]
    np.testing.assert_array_equal(*found)


# The tests.


def changed(adata: ad.AnnData, change: Change | None, tmp_path: Any) -> ad.AnnData:
    found = None if change is None else change(adata, tmp_path)
    return adata if found is None else found


def without_results(adata: ad.AnnData) -> ad.AnnData:
    """Leave out what `tl` documents that it writes; nothing else may have changed."""
    adata = adata.to_memory(copy=True)
    for layer in ("s2s", "s2s_std"):
        adata.layers.pop(layer, None)
    adata.obs = adata.obs.drop(columns="s2s_visible", errors="ignore")
    adata.var = adata.var.drop(columns="s2s_reliability", errors="ignore")
    if "s2s" in adata.uns:
        adata.uns["s2s"] = {key: part for key, part in adata.uns["s2s"].items() if key != "s2s"}
    return adata


@pytest.fixture(scope="session")
def outcomes() -> dict[Any, ad.AnnData]:
    """What became of plain input, by what was done with what."""
    return {}


@pytest.mark.parametrize(("start", "change", "call", "same", "plain", "warning"), CASES)
def test_as_plain_input(
    start: str,
    change: Change,
    call: Callable[..., ad.AnnData],
    same: Callable[..., None],
    plain: Change | None,
    warning: str | None,
    fresh_spots: ad.AnnData,
    fresh_dense: ad.AnnData,
    outcomes: dict[Any, ad.AnnData],
    fingerprint: Callable[[Any], str],
    tmp_path: Any,
) -> None:
    given = fresh_spots if start == "spots" else fresh_dense
    ordinary = (start, call, plain)
    if ordinary not in outcomes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes[ordinary] = call(changed(given.copy(), plain, tmp_path))
    adata = changed(given, change, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not adata.isbacked}
    before = fingerprint(without_results(adata))
    with nullcontext() if warning is None else pytest.warns(UserWarning, match=warning):
        found = call(adata)
    same(found, outcomes[ordinary])
    assert fingerprint(without_results(adata)) == before
    if adata.isbacked:
        adata.file.close()
        assert fingerprint(without_results(ad.read_h5ad(adata.filename))) == before
    assert all(path.read_bytes() == content for path, content in files.items())


def test_every_kind_of_column_is_carried_over(fresh_spots: ad.AnnData, tmp_path: Any) -> None:
    every_kind_of_column(fresh_spots, tmp_path)
    everything_else(fresh_spots, tmp_path)
    dense = laid(fresh_spots)
    n = fresh_spots.n_obs
    for name, column in fresh_spots.obs.items():
        if name not in ("array_row", "array_col"):
            assert dense.obs[name][:n].astype(object).tolist() == column.astype(object).tolist()
            assert dense.obs[name][n:].isna().all()
    pd.testing.assert_frame_equal(dense.var, fresh_spots.var)
    assert list(dense.obsm) == ["spatial"]  # tables of spots have no rows for new sites
    np.testing.assert_array_equal(dense.raw.X[:n].toarray(), fresh_spots.raw.X.toarray())
    assert not dense.raw.X[n:].nnz
    dense.obs = dense.obs.drop(columns=["time", "complex", "missing"])  # which h5ad cannot hold
    dense.uns["other"]["deep"]["list"] = ["1", "a"]
    dense.write_h5ad(tmp_path / "dense.h5ad")


def test_there_are_enough() -> None:
    assert len(CASES) >= 80
