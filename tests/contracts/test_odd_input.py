"""Odd input that is no error, case by case: the outcome is that of plain input, and nothing else was changed."""

import warnings
from contextlib import nullcontext
from functools import partial

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import s2s_scverse as s2s

CASES = []
# Of formats that will be the default of others, and of names that AnnData puts up with.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}:UserWarning")
    for message in (
        *(".*zarr v[23]", "Consolidated metadata is currently not part"),
        *(r"\s*AnnData expects .var.index", "Transforming to str index"),
    )
]


# What is done, and how the outcome is compared to that of plain input.


def laid(adata):
    return s2s.pp.grid(adata)


def binned(adata):
    found = s2s.pp.grid(adata, bin_size=200)
    found.write_h5ad("binned.h5ad")
    return found


def imputed(adata, **arguments):
    s2s.tl.impute(adata, progress=False, **({"preset": "quick", "natural_images": None} | arguments))
    return adata


def interpolated(adata):
    s2s.tl.interpolate(adata, "kriging", key_added="s2s")
    return adata


def values(matrix):
    matrix = matrix.compute() if hasattr(matrix, "compute") else matrix
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def by_name(adata):
    """Order of sites by their names, which do not depend on the order of spots."""
    return np.argsort(adata.obs_names.astype(str))


def same_grid(found, plain, *, rounding=0):
    """The same values at the same sites and places."""
    columns = ["array_row", "array_col", "s2s_measured"]
    tables = [adata.obs[columns].astype(float).set_axis(adata.obs_names.astype(str)) for adata in (found, plain)]
    pd.testing.assert_frame_equal(*(table.sort_index() for table in tables), check_index_type=False)
    for key in ("kind", "stride"):
        assert found.uns["s2s"]["grid"][key] == plain.uns["s2s"]["grid"][key]
    places = [np.asarray(adata.obsm["spatial"])[by_name(adata)] for adata in (found, plain)]
    np.testing.assert_allclose(places[0], places[1], rtol=1e-5, atol=1e-3)
    assert found.uns["s2s"]["grid"]["pitch"] == pytest.approx(plain.uns["s2s"]["grid"]["pitch"], rel=1e-5)
    np.testing.assert_allclose(values(found.X)[by_name(found)], values(plain.X)[by_name(plain)], rtol=rounding, atol=0)


def same_layers(found, plain):
    """Bit for bit, by the name of the site."""
    for key in ("s2s", "s2s_std"):
        assert (key in found.layers) == (key in plain.layers)
        if key in plain.layers:
            assert found.layers[key].dtype == np.float32
            layers = (values(adata.layers[key])[by_name(adata)] for adata in (found, plain))
            np.testing.assert_array_equal(*layers)
    assert ("s2s_reliability" in found.var) == ("s2s_reliability" in plain.var)
    if "s2s_reliability" in plain.var:
        np.testing.assert_array_equal(found.var["s2s_reliability"], plain.var["s2s_reliability"])
    np.testing.assert_array_equal(*(adata.obs["s2s_visible"].to_numpy()[by_name(adata)] for adata in (found, plain)))


SAME = {laid: same_grid, binned: partial(same_grid, rounding=1e-6), imputed: same_layers, interpolated: same_layers}
TOLD = {laid: None, binned: "adata.X holds values that are not counts"}


def case(name, change, *calls, same=None, plain=None, warning=None):
    """Register a change of an AnnData that calls put up with: in place, or it returns another.

    `plain` is the change to compare with, none by default; `warning` what the user is told.
    """
    for call in calls:
        arguments = change, call, same or SAME[call], plain, TOLD.get(call, warning)
        CASES.append(pytest.param(*arguments, id=f"{name}, {call.__name__}"))


def changed(adata, change):
    found = None if change is None else change(adata)
    return adata if found is None else found


def without_results(adata):
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
def outcomes():
    """What became of plain input, by what was done with what."""
    return {}


@pytest.mark.parametrize(("change", "call", "same", "plain", "warning"), CASES)
def test_as_plain_input(change, call, same, plain, warning, request, outcomes, fingerprint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = request.getfixturevalue("fresh_spots" if call in (laid, binned) else "fresh_dense")
    if (call, plain) not in outcomes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcomes[call, plain] = call(changed(given.copy(), plain))
        for path in tmp_path.iterdir():
            path.unlink()
    adata = changed(given, change)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not adata.isbacked}
    before = fingerprint(without_results(adata))
    with nullcontext() if warning is None else pytest.warns(UserWarning, match=warning):
        found = call(adata)
    same(found, outcomes[call, plain])
    assert fingerprint(without_results(adata)) == before
    if adata.isbacked:
        adata.file.close()
        assert fingerprint(without_results(ad.read_h5ad(adata.filename))) == before
    assert all(path.read_bytes() == content for path, content in files.items())


# How values are stored.

EVERY = imputed, laid, interpolated


def unsorted(found):
    """Each row's columns in falling order."""
    rows = [found[[row]].tocoo() for row in range(found.shape[0])]
    data, indices = (np.concatenate([getattr(row, part)[::-1] for row in rows]) for part in ("data", "col"))
    result = sparse.csr_matrix((data, indices, found.indptr), shape=found.shape)
    assert not result.has_sorted_indices
    return result


def with_zeros(found):
    """Every value stored, zeros too."""
    n, genes = found.shape
    parts = found.toarray().ravel(), np.tile(np.arange(genes), n), np.arange(n + 1) * genes
    return sparse.csr_matrix(parts, shape=found.shape)


for name, convert in {
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": lambda x: x.toarray(),
    "float64": lambda x: x.astype(np.float64),
    "in columns": lambda x: np.asfortranarray(x.toarray()),
    "unsorted indices": unsorted,
    "explicit zeros": with_zeros,
    "dask": lambda x: da.from_array(x.toarray(), chunks=(20, 4)),
    "dask of csr": lambda x: da.from_array(x, chunks=(20, 6), asarray=False),
}.items():
    calls = EVERY if convert in (sparse.csr_array, unsorted) else (imputed, laid, binned)
    case(name, lambda adata, convert=convert: setattr(adata, "X", convert(adata.X)), *calls)


def counts(kind):
    def change(adata):
        whole = np.minimum(np.round(np.expm1(adata.X.toarray())), 250)
        adata.X = sparse.csr_matrix(whole.astype(kind)) if kind == "int64" else whole.astype(kind)

    return change


FLOAT_COUNTS = counts("float32")
for kind in ("uint8", "int16", "int64", "uint64", "float16"):
    told = "values look like counts; call s2s.pp.normalize"
    case(f"{kind} counts", counts(kind), imputed, plain=FLOAT_COUNTS, warning=told)


# Files.


def in_file(kind, *, dense):
    def change(adata):
        if dense:
            adata.X = adata.X.toarray()
        if kind.startswith("h5ad"):
            adata.write_h5ad("x.h5ad")
            return ad.read_h5ad("x.h5ad", backed=kind.removeprefix("h5ad "))
        with ad.settings.override(zarr_write_format=2 if "v2" in kind else 3):
            adata.write_zarr("x.zarr")
        return (ad.experimental.read_lazy if "lazy" in kind else ad.read_zarr)("x.zarr")

    return change


for kind in ("h5ad r", "h5ad r+", "zarr v2", "zarr v3", "lazy zarr v2", "lazy zarr v3"):
    for dense in (True, False):
        calls = (*EVERY, binned) if kind in ("h5ad r", "lazy zarr v3") else (imputed, laid)
        case(f"{kind}, {'dense' if dense else 'sparse'}", in_file(kind, dense=dense), *calls)


# Names, tables and masks.


def every_kind_of_column(adata):
    n = np.arange(adata.n_obs)
    adata.obs = adata.obs.assign(
        **{
            "float": n / 7,
            "boolean": n % 2 == 0,
            "text": [f"t{i % 3}" for i in n],
            "category": pd.Categorical([f"t{i % 3}" for i in n]),
            "nullable integer": pd.array(np.where(n % 5, n, 0), dtype="Int64"),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(n, unit="D"),
            "missing": [None] * len(n),
        }
    )
    adata.var = adata.var.assign(number=np.arange(adata.n_vars), category=pd.Categorical(["a", "b"] * 3))


def everything_else(adata):
    adata.raw = adata
    adata.obsm["table"] = pd.DataFrame({"number": np.arange(adata.n_obs), "text": "x"}, index=adata.obs_names)
    adata.obsm["sparse"] = sparse.eye(adata.n_obs, 5, format="csr")
    adata.varm["loadings"] = np.ones((adata.n_vars, 3))
    adata.obsp["distances"] = sparse.eye(adata.n_obs, format="csr")
    adata.varp["correlations"] = np.eye(adata.n_vars)
    adata.layers["other"] = adata.X.copy()
    adata.uns["other"] = {"deep": {"list": [1, "a"], "number": np.float32(3)}}


def halved(adata):
    return adata[:, ::2].copy()


VIEW = r"Received a view of an AnnData\. Making a copy\."
case("every kind of column", every_kind_of_column, imputed, laid)
case("everything else", everything_else, imputed, laid)
case("numbered genes", lambda adata: setattr(adata, "var_names", range(adata.n_vars)), imputed, laid)
case("shuffled", lambda a: a[np.random.default_rng(5).permutation(a.n_obs)].copy(), *EVERY)
case("a view", lambda adata: adata[:, :], *EVERY, warning=VIEW)
case("a view of some genes", lambda adata: adata[:, ::2], *EVERY, plain=halved, warning=VIEW)


def with_columns(*names, convert):
    return lambda adata: setattr(adata, "obs", adata.obs.assign(**{name: convert(adata.obs[name]) for name in names}))


for kind in ("category", "object", "boolean", "int64", "float32"):
    convert = with_columns("s2s_measured", "s2s_held_out", convert=lambda mask, kind=kind: mask.astype(kind))
    case(f"masks of dtype {kind}", convert, imputed)


def test_every_kind_of_column_is_carried_over(fresh_spots, tmp_path):
    every_kind_of_column(fresh_spots)
    everything_else(fresh_spots)
    dense = laid(fresh_spots)
    n = fresh_spots.n_obs
    for name, column in fresh_spots.obs.items():
        if name not in ("array_row", "array_col"):
            assert dense.obs[name][:n].astype(object).tolist() == column.astype(object).tolist()
            assert dense.obs[name][n:].isna().all()
    pd.testing.assert_frame_equal(dense.var, fresh_spots.var)
    assert list(dense.obsm) == ["spatial"]  # tables of spots have no rows for new sites
    np.testing.assert_array_equal(dense.layers["other"][:n].toarray(), fresh_spots.layers["other"].toarray())
    np.testing.assert_array_equal(dense.raw.X[:n].toarray(), fresh_spots.raw.X.toarray())
    assert not dense.raw.X[n:].nnz
    dense.obs = dense.obs.drop(columns=["time", "missing"])  # which h5ad cannot hold
    dense.uns["other"]["deep"]["list"] = ["1", "a"]
    dense.write_h5ad(tmp_path / "dense.h5ad")


# The lattice.


def array(convert):
    return with_columns("array_row", "array_col", convert=convert)


for kind in ("float64", "float16", "uint8", "int8", "uint64", "Int64", "Float64"):
    case(f"array positions of dtype {kind}", array(lambda at, kind=kind: at.astype(kind)), laid)
case("every third array position", array(lambda at: at * 3), laid)


# In other units, turned, mirrored, in another order, with jitter: see test_properties.py.
def fitted(dtype):
    """Coordinates of another dtype, which the lattice is fitted to."""

    def change(adata):
        adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
        adata.obsm["spatial"] = np.asarray(adata.obsm["spatial"], dtype=dtype)

    return change


for kind in ("float64", "float32", "uint16"):
    case(f"coordinates of dtype {kind}", fitted(kind), laid)
case("coordinates in a table", lambda a: a.obsm.update(spatial=pd.DataFrame(a.obsm["spatial"], a.obs_names)), laid)


# Little, or nothing, to see.


def as_measured(found, plain):
    """What is measured stays, and there is a value everywhere; genes that were 0 stay 0."""
    measured = found.obs["s2s_measured"].to_numpy()
    np.testing.assert_array_equal(found.layers["s2s"][measured], values(found.X)[measured])
    assert np.isfinite(found.layers["s2s"]).all()
    assert not found.layers["s2s"][:, ~values(found.X)[measured].any(axis=0)].any()


def only(keep):
    """A section of a few of the spots."""

    def change(adata):
        spots = adata[adata.obs["s2s_measured"] | adata.obs["s2s_held_out"]].copy()
        spots.obs = spots.obs[["array_row", "array_col"]]
        del spots.uns["s2s"]
        return s2s.pp.grid(spots[keep(spots)].copy(), upsample=2, fill="all")

    return change


def zeros(adata):
    """Two genes and five spots without counts."""
    dense = adata.X.toarray()
    dense[:, [0, 3]] = dense[np.flatnonzero(adata.obs["s2s_measured"])[:5]] = 0
    adata.X = sparse.csr_matrix(dense)


def measured_only(adata):
    return adata[adata.obs["s2s_measured"]].copy()


FULL = "every site is measured: there is nothing to"
case("genes and spots without counts", zeros, imputed, interpolated, same=as_measured)
case("1 spot", only(lambda spots: slice(0, 1)), imputed, same=as_measured, warning=FULL)
case("2 spots", only(lambda spots: slice(0, 2)), imputed, same=as_measured, warning="only 2 spots are measured")
in_one_row = only(lambda spots: spots.obs["array_row"] == spots.obs["array_row"].mode()[0])
case("1 row", in_one_row, imputed, same=as_measured, warning="only .* spots are measured")
case("1 row", in_one_row, interpolated, same=as_measured)
case("1 gene", lambda adata: adata[:, :1].copy(), imputed, interpolated, same=as_measured)
case("0 unmeasured sites", measured_only, imputed, interpolated, same=as_measured, warning=FULL)
