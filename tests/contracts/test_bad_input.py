"""Bad input, case by case: the class of the error, what it says, and that the AnnData is as it was, bit for bit."""

import hashlib
import pickle
from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import s2s_scverse as s2s

CASES: list[Any] = []


def case(start: str, error: type[Exception], match: str, name: str) -> Callable[[Any], Any]:
    """Register a call that fails; it gets a section to spoil first, `spots` or on its lattice (`dense`)."""

    def register(spoil_and_call: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(pytest.param(start, spoil_and_call, error, match, id=name))
        return spoil_and_call

    return register


def simple(
    start: str, function: Callable[..., Any], error: type[Exception], match: str, name: str, **arguments: Any
) -> None:
    """Register a call with a bad argument."""
    case(start, error, match, name)(lambda adata, tmp_path: lambda: function(adata, **arguments))


def fingerprint(value: Any) -> str:
    """What tells an AnnData, or anything in one, from any other."""
    digest = hashlib.sha256()

    def add(found: Any) -> None:
        digest.update(type(found).__name__.encode())
        if isinstance(found, ad.AnnData):
            for part in (found.X, found.obs, found.var, found.uns, *map(dict, (found.obsm, found.layers, found.obsp))):
                add(part)
        elif isinstance(found, pd.DataFrame):
            add(found.columns.astype(str).tolist())
            add(pickle.dumps(found.to_dict("list")))
            add(found.index.tolist())
        elif sparse.issparse(found):
            for part in (found.data, found.indices, found.indptr):
                add(part)
        elif isinstance(found, np.ndarray):
            digest.update(f"{found.dtype} {found.shape}".encode())
            digest.update(
                pickle.dumps(found.tolist()) if found.dtype == object else np.ascontiguousarray(found).tobytes()
            )
        elif hasattr(found, "items"):
            for key, part in found.items():
                add(str(key))
                add(part)
        elif isinstance(found, bytes):
            digest.update(found)
        else:
            digest.update(repr(found).encode())

    add(value)
    return digest.hexdigest()


# The lattice.


def with_x(kind: Any) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.X = adata.X.toarray().astype(kind) if kind is not str else adata.X.toarray().astype(str).astype(object)
        return lambda: s2s.tl.impute(adata, progress=False)

    return spoil


def with_values(value: float, *, layer: str | None = None) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        values = adata.X.toarray()
        values[np.flatnonzero(adata.obs["s2s_measured"])[2], 1] = value
        if layer is None:
            adata.X = values
        else:
            adata.layers[layer] = values
        return lambda: s2s.tl.impute(adata, layer=layer, progress=False)

    return spoil


def with_coordinates(change: Callable[[np.ndarray], Any], **arguments: Any) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
        changed = change(adata.obsm["spatial"].astype(float))
        if changed is None:
            del adata.obsm["spatial"]
        else:
            adata.obsm["spatial"] = changed
        return lambda: s2s.pp.grid(adata, **arguments)

    return spoil


def with_rows(change: Callable[[pd.Series], Any]) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.obs["array_row"] = change(adata.obs["array_row"])
        return lambda: s2s.pp.grid(adata)

    return spoil


def at(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(positions: np.ndarray) -> np.ndarray:
        positions[row, 0] = value
        return positions

    return change


def duplicated(positions: np.ndarray) -> np.ndarray:
    positions[3] = positions[4]
    return positions


def two_pitches(positions: np.ndarray) -> np.ndarray:
    half = len(positions) // 2
    positions[half:] = positions[half:] * 1.37 + 11
    return positions


def huge(rows: pd.Series) -> pd.Series:
    rows = rows.astype(np.int64)
    rows.iloc[0] = 10**9
    return rows


for kind, name in ((str, "strings"), (complex, "complex")):
    case("dense", TypeError, r"adata\.X must hold real numbers", f"X of {name}")(with_x(kind))
case(
    "dense", ValueError, r"adata\.X is NaN or infinite at measured spots for .*; set or drop those values", "NaN in X"
)(with_values(np.nan))
case("dense", ValueError, r"adata\.X is NaN or infinite at measured spots", "infinite X")(with_values(np.inf))
case("dense", ValueError, r"adata\.layers\['norm'\] is NaN or infinite", "NaN in a layer")(
    with_values(np.nan, layer="norm")
)
case("spots", KeyError, r"coordinates not found: adata\.obsm has no 'spatial'", "no coordinates")(
    with_coordinates(lambda _: None)
)
case("spots", ValueError, r"NaN", "NaN in coordinates")(with_coordinates(at(2, np.nan)))
case("spots", ValueError, r"infinite", "infinite coordinates")(with_coordinates(at(2, np.inf)))
case("spots", ValueError, r"shape", "one column of coordinates")(with_coordinates(lambda found: found[:, :1]))
case("spots", TypeError, r"number", "coordinates of text")(with_coordinates(lambda found: found.astype(str)))
case("spots", ValueError, r"share", "two spots at one place")(with_coordinates(duplicated))
case("spots", ValueError, r"lattice", "two pitches")(with_coordinates(two_pitches))
case("spots", TypeError, r"array_row.* number", "array_row of text")(with_rows(lambda rows: rows.astype(str)))
case("spots", TypeError, r"array_row.* number", "categorical array_row")(
    with_rows(lambda rows: rows.astype(str).astype("category"))
)
case("spots", ValueError, r"whole", "array_row between rows")(with_rows(lambda rows: rows + 0.3))
case("spots", ValueError, r"must hold whole numbers, found nan", "array_row missing for a spot")(
    with_rows(lambda rows: rows.astype(float).where(np.arange(len(rows)) > 0))
)
case("spots", ValueError, r"10+ ?[x×]|sites", "array_row of a billion")(with_rows(huge))
simple("spots", s2s.pp.grid, ValueError, "upsample must be from 1 to 8, found 0", "upsample 0", upsample=0)
simple("spots", s2s.pp.grid, ValueError, "upsample must be from 1 to 8, found 100", "upsample 100", upsample=100)
simple("spots", s2s.pp.grid, TypeError, "upsample must be an integer, found 1.5", "upsample 1.5", upsample=1.5)
simple("spots", s2s.pp.grid, TypeError, "upsample must be an integer", "upsample True", upsample=True)
simple("spots", s2s.pp.grid, ValueError, "bin_size must be positive", "bin_size 0", bin_size=0)
simple("spots", s2s.pp.grid, ValueError, "bin_size must be positive", "negative bin_size", bin_size=-1.0)
simple("spots", s2s.pp.grid, ValueError, "bin_size must be positive", "bin_size NaN", bin_size=np.nan)
simple("spots", s2s.pp.grid, TypeError, "bin_size must be a number", "bin_size of text", bin_size="large")
simple(
    "spots",
    s2s.pp.grid,
    ValueError,
    "bin_size=1e\\+07 puts all .* cells into one bin; the section is",
    "bins larger than the section",
    bin_size=1e7,
)
simple(
    "spots",
    s2s.pp.grid,
    ValueError,
    "bin_size=1e-06 cuts the section into .* bins, of which",
    "bins that would not fit in memory",
    bin_size=1e-6,
)
simple("spots", s2s.pp.grid, ValueError, "fill must be", "unknown fill", fill="none")
simple("spots", s2s.pp.grid, ValueError, "bin_shape must be", "unknown bin_shape", bin_shape="round", bin_size=9.0)
simple("spots", s2s.pp.grid, KeyError, "library_key='slide' not found", "unknown library_key", library_key="slide")
simple(
    "spots",
    s2s.pp.grid,
    KeyError,
    "coordinates not found: adata.obsm has no 'xy'",
    "unknown spatial_key",
    spatial_key="xy",
)
simple("dense", s2s.pp.grid, ValueError, "unmeasured already|held out", "a dense section")


@case("spots", ValueError, "not unique", "repeated gene names")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.var_names = ["gene"] * adata.n_vars
    return lambda: s2s.pp.grid(adata)


@case("spots", ValueError, "spot names are not unique", "repeated spot names")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs_names = ["spot"] * adata.n_obs
    return lambda: s2s.pp.grid(adata)


@case("spots", ValueError, "expected at least one spot and one gene", "an empty AnnData")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    empty = adata[:0].copy()
    return lambda: s2s.pp.grid(empty)


@case("spots", ValueError, "slash|'/'", "a slash in the name of a section")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["slide"] = "a/b"
    return lambda: s2s.pp.grid(adata, library_key="slide")


@case("spots", ValueError, "missing for 1 of", "a spot of no section")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["slide"] = ["a"] * (adata.n_obs - 1) + [None]
    return lambda: s2s.pp.grid(adata, library_key="slide")


for function, name in (
    (s2s.pp.grid, "pp.grid"),
    (s2s.pp.sparsify, "pp.sparsify"),
    (s2s.tl.impute, "tl.impute"),
    (s2s.get.image, "get.image"),
    (s2s.pl.grid, "pl.grid"),
):
    case("spots", TypeError, "AnnData", f"{name} of a table")(
        lambda adata, tmp_path, function=function: lambda: function(adata.to_df())
    )
for function, name in (
    (s2s.pp.sparsify, "pp.sparsify"),
    (s2s.tl.impute, "tl.impute"),
    (s2s.get.image, "get.image"),
    (s2s.pl.grid, "pl.grid"),
):
    case("spots", KeyError, r"s2s\.pp\.grid", f"{name} without a lattice")(
        lambda adata, tmp_path, function=function: lambda: function(adata)
    )

# Hiding spots.


def fresh(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """Call on a section none of whose spots are hidden yet."""

    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.obs["s2s_measured"] |= adata.obs.pop("s2s_held_out")
        return lambda: function(adata, **arguments)

    return spoil


for match, error, arguments in (
    ("stride must be at least 1, found 0", ValueError, {"stride": 0}),
    ("stride must be an integer", TypeError, {"stride": "2"}),
    ("phase must be from 0 to 1, found 2", ValueError, {"phase": (2, 0)}),
    ("phase must be two integers", ValueError, {"phase": 1}),
    ("fraction must lie between 0 and 1", ValueError, {"fraction": 0}),
    ("fraction must lie between 0 and 1", ValueError, {"fraction": 1.5}),
    ("fraction must be a number", TypeError, {"fraction": "half"}),
    ("keep='spots' not found", KeyError, {"keep": "spots"}),
    ("keep must hold truth values", TypeError, {"keep": np.arange(5)}),
    ("keep must have one value for each of the", ValueError, {"keep": np.ones(5, bool)}),
    ("fraction and keep exclude each other", ValueError, {"keep": np.ones(5, bool), "fraction": 0.5}),
    ("rng must be", TypeError, {"fraction": 0.5, "rng": "seed"}),
    ("rng must be", ValueError, {"fraction": 0.5, "rng": -1}),
):
    case("dense", error, match, f"sparsify {arguments}")(fresh(s2s.pp.sparsify, **arguments))
simple("dense", s2s.pp.sparsify, ValueError, "spots are held out already; undo that first", "sparsify twice")

# Imputing.
for match, error, arguments in (
    ("genes not found in adata.var_names: nope", KeyError, {"genes": ["nope"]}),
    ("gene", ValueError, {"genes": []}),
    ("domain_1", ValueError, {"genes": ["domain_1", "domain_1"]}),
    ("genes must be", TypeError, {"genes": 3}),
    ("layer 'norm' not found", KeyError, {"layer": "norm"}),
    ("key_added must be", TypeError, {"key_added": 3}),
    ("key_added", ValueError, {"key_added": ""}),
    ("key_added='grid' is taken by the lattice", ValueError, {"key_added": "grid"}),
    ("key_added='x_std' is the name of a standard deviation", ValueError, {"key_added": "x_std"}),
    (r"key_added='truth' would overwrite adata\.layers\['truth'\]", ValueError, {"key_added": "truth"}),
    ("preset must be", ValueError, {"preset": "best"}),
    ("network must be a CDCINConfig, found 3", TypeError, {"network": 3}),
    ("training must be a TrainingConfig, found {}", TypeError, {"training": {}}),
    ("max_epochs must be", ValueError, {"max_epochs": -1}),
    ("max_epochs must be an integer", TypeError, {"max_epochs": 1.5}),
    ("max_distance must be", ValueError, {"max_distance": -1}),
    ("max_distance must be a number", TypeError, {"max_distance": "far"}),
    ("total_counts must be 'auto', the name of a column", TypeError, {"total_counts": 3}),
    ("depth", KeyError, {"total_counts": "depth"}),
    ("dtype must be", ValueError, {"dtype": "float64"}),
    ("device", ValueError, {"device": "tpu9"}),
    ("devices must be at least 1", ValueError, {"devices": 0}),
    ("strategy must be 'auto' or 'ddp'", ValueError, {"strategy": "fsdp"}),
    ("rng must be", TypeError, {"rng": "seed"}),
    ("rng must be a seed of at least 0, found -1", ValueError, {"rng": -1}),
    ("the folder nowhere of the checkpoint does not exist", FileNotFoundError, {"checkpoint": "nowhere/run.ckpt"}),
    ("no checkpoint found at nowhere.ckpt", FileNotFoundError, {"pretrained": "nowhere.ckpt"}),
    ("nowhere", FileNotFoundError, {"store": "nowhere/layers.zarr"}),
    ("image", ValueError, {"natural_images": np.zeros((1, 1))}),
    ("image", TypeError, {"natural_images": np.array([["a", "b"], ["c", "d"]])}),
    ("image", ValueError, {"natural_images": np.zeros((2, 3, 4, 5, 6))}),
    ("image", ValueError, {"natural_images": []}),
    ("found nothing at 'nowhere'", ValueError, {"natural_images": "nowhere"}),
):
    simple("dense", s2s.tl.impute, error, match, f"impute {arguments}", **({"progress": False} | arguments))


@case("dense", ValueError, "no site is measured", "nothing measured")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["s2s_measured"] = False
    return lambda: s2s.tl.impute(adata, progress=False)


@case("dense", ValueError, "two sites share one lattice position", "a site twice")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs.loc[adata.obs_names[0], ["array_row", "array_col"]] = adata.obs.iloc[1][
        ["array_row", "array_col"]
    ].tolist()
    return lambda: s2s.tl.impute(adata, progress=False)


@case("dense", ValueError, "not unique", "imputing repeated genes")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.var_names = ["gene"] * adata.n_vars
    return lambda: s2s.tl.impute(adata, progress=False)


class Thief:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('executed')",))


for name, content in (
    ("random bytes", bytes(range(256)) * 8),
    ("an empty file", b""),
    ("a pickle that runs code", pickle.dumps(Thief())),
):
    for argument in ("checkpoint", "pretrained"):

        def spoil(
            adata: ad.AnnData, tmp_path: Any, content: bytes = content, argument: str = argument
        ) -> Callable[[], Any]:
            (tmp_path / "run.ckpt").write_bytes(content)
            return lambda: s2s.tl.impute(
                adata, preset="fast", max_epochs=1, progress=False, **{argument: tmp_path / "run.ckpt"}
            )

        case("dense", ValueError, r"run\.ckpt", f"{argument}: {name}")(spoil)


@case("dense", ValueError, "image|picture", "a folder of pictures that are none")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    (tmp_path / "picture.png").write_bytes(b"no picture")
    return lambda: s2s.tl.impute(adata, natural_images=tmp_path, progress=False)


# Interpolating, scoring.
simple("dense", s2s.tl.interpolate, ValueError, "method must be", "unknown method", method="magic")
simple("dense", s2s.tl.interpolate, KeyError, "genes not found", "interpolate unknown", method="idw", genes="nope")
simple("dense", s2s.tl.evaluate, KeyError, "layers not found: s2s", "nothing to evaluate", keys="s2s")
simple("dense", s2s.tl.evaluate, TypeError, "keys must be the name of a layer", "keys of a wrong type", keys=3)
simple("dense", s2s.tl.evaluate, ValueError, "keys must name at least one layer", "no keys", keys=[])
simple("dense", s2s.tl.evaluate, KeyError, "layer 'gold' not found", "unknown truth", keys="truth", truth="gold")


@case("dense", ValueError, "held out|held-out", "nothing held out")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    s2s.tl.interpolate(adata, "nearest")
    adata.obs["s2s_held_out"] = False
    return lambda: s2s.tl.evaluate(adata, "nearest")


@case("dense", ValueError, "were visible to its method", "a layer that has seen the spots")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["s2s_measured"] |= adata.obs.pop("s2s_held_out")
    s2s.tl.interpolate(adata, "nearest") if not adata.obs["s2s_measured"].all() else None
    s2s.pp.sparsify(adata, stride=2)
    return lambda: s2s.tl.evaluate(adata, "nearest")


# Reading results, plots.
simple("dense", s2s.get.image, KeyError, "genes not found", "image of an unknown gene", genes="nope")
simple("dense", s2s.get.image, KeyError, "layer 'no' not found", "image of an unknown layer", layer="no")
simple("dense", s2s.get.history_df, KeyError, "s2s", "no history")
simple("dense", s2s.get.evaluation_df, KeyError, r"s2s\.tl\.evaluate", "no evaluation")
simple("dense", s2s.get.reliable_genes, KeyError, "reliability", "no reliability")
simple("dense", s2s.get.interval, KeyError, "s2s", "no intervals")
simple("dense", s2s.pl.compare, KeyError, "layers not found: s2s", "nothing to compare", genes="domain_1")
simple("dense", s2s.pl.uncertainty, KeyError, "s2s", "no uncertainty", genes="domain_1")
simple("dense", s2s.pl.history, KeyError, "s2s", "no history to draw")
simple("dense", s2s.pl.evaluation, KeyError, "evaluate", "no evaluation to draw")
simple("dense", s2s.pl.reliability, KeyError, "reliability", "no reliability to draw")
simple("dense", s2s.pl.grid, KeyError, "section 'left' not found", "a section that there is not", library="left")


@pytest.fixture(scope="session")
def _spots() -> ad.AnnData:
    adata = s2s.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=6)
    adata.X.data = np.log1p(adata.X.data)
    return adata


@pytest.fixture(scope="session")
def _dense(_spots: ad.AnnData) -> ad.AnnData:
    dense = s2s.pp.grid(_spots, upsample=1)
    s2s.pp.sparsify(dense, stride=2)
    return dense


@pytest.fixture
def fresh_spots(_spots: ad.AnnData) -> ad.AnnData:
    return _spots.copy()


@pytest.fixture
def fresh_dense(_dense: ad.AnnData) -> ad.AnnData:
    return _dense.copy()


def test_there_are_enough() -> None:
    assert len(CASES) >= 80


@pytest.mark.parametrize(("start", "spoil", "error", "match"), CASES)
def test_refused(
    start: str,
    spoil: Callable[..., Callable[[], Any]],
    error: type[Exception],
    match: str,
    fresh_spots: ad.AnnData,
    fresh_dense: ad.AnnData,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    adata = fresh_spots if start == "spots" else fresh_dense
    call = spoil(adata, tmp_path)
    before, files = fingerprint(adata), sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=match):
        call()
    assert fingerprint(adata) == before
    assert sorted(tmp_path.rglob("*")) == files


def test_the_fingerprint_sees_every_change(fresh_dense: ad.AnnData) -> None:
    whole = fingerprint(fresh_dense)
    assert fingerprint(fresh_dense.copy()) == whole
    changes: list[Callable[[ad.AnnData], Any]] = [
        lambda adata: adata.X.data.__setitem__(0, 9),
        lambda adata: adata.layers["truth"].__setitem__((0, 0), 9),
        lambda adata: adata.layers.__setitem__("new", adata.X),
        lambda adata: adata.obs.__setitem__("s2s_measured", True),
        lambda adata: adata.obs.__setitem__("new", 1),
        lambda adata: adata.var.__setitem__("new", 1),
        lambda adata: adata.obsm["spatial"].__setitem__((0, 0), 9),
        lambda adata: adata.uns["s2s"].__setitem__("new", 1),
        lambda adata: adata.uns["s2s"]["grid"].__setitem__("stride", 9),
    ]
    for change in changes:
        changed = fresh_dense.copy()
        change(changed)
        assert fingerprint(changed) != whole
