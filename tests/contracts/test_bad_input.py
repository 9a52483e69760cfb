"""Bad input, case by case: the class of the error, what it says, and that the AnnData is as it was, bit for bit."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import s2s_scverse as s2s

CASES: list[Any] = []


def case(start: str, error: type[Exception], match: str, name: str) -> Callable[[Any], Any]:
    """Register a call that fails; it gets a section to spoil first: `spots`, on its lattice (`dense`), or `imputed`."""

    def register(spoil_and_call: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(pytest.param(start, spoil_and_call, error, match, id=re.sub(r" at 0x\w+", "", name)))
        return spoil_and_call

    return register


def alone(function: Callable[..., Any], error: type[Exception], match: str, name: str, **arguments: Any) -> None:
    """Register a call that takes no AnnData."""
    case("spots", error, match, name)(lambda adata, tmp_path: lambda: function(**arguments))


def simple(
    start: str, function: Callable[..., Any], error: type[Exception], match: str, name: str, **arguments: Any
) -> None:
    """Register a call with a bad argument."""
    case(start, error, match, name)(lambda adata, tmp_path: lambda: function(adata, **arguments))


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


for kind, name in ((str, "strings"), (complex, "complex"), (bool, "truth values"), (object, "objects")):
    case("dense", TypeError, r"adata\.X must hold real numbers, found dtype .* convert it", f"X of {name}")(
        with_x(kind)
    )
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
case("spots", ValueError, r"'spatial'\] is NaN or infinite for 1 of 85 spots; drop them first", "NaN in coordinates")(
    with_coordinates(at(2, np.nan))
)
case("spots", ValueError, r"is NaN or infinite for 1 of 85 spots; drop them first", "infinite coordinates")(
    with_coordinates(at(2, np.inf))
)
case("spots", ValueError, r"must have 2 columns \(x, y\), found shape \(85, 1\); set", "one column of coordinates")(
    with_coordinates(lambda found: found[:, :1])
)
case("spots", TypeError, r"'spatial'\] must hold numbers, found dtype <U", "coordinates of text")(
    with_coordinates(lambda found: found.astype(str))
)
case(
    "spots",
    ValueError,
    r"2 columns \(x, y\), found shape .* 3\); set .* or pass another",
    "three columns of coordinates",
)(with_coordinates(lambda found: np.c_[found, found[:, 0]]))
case("spots", ValueError, r"2 columns \(x, y\), found shape", "one coordinate")(
    with_coordinates(lambda found: found[:, 0])
)
for factor in (1e-300, 1e160):
    case(
        "spots", ValueError, "reaches .* and spans .*; expected at most 1e100, .* another unit", f"a unit of {factor}"
    )(
        with_coordinates(lambda found, factor=factor: found * factor)  # type: ignore[misc]
    )
for kind in (bool, complex, object):
    case("spots", TypeError, "must hold numbers, found dtype", f"coordinates of {kind.__name__}")(
        with_coordinates(lambda found, kind=kind: found.astype(kind))  # type: ignore[misc]
    )
case("spots", TypeError, r"must hold numbers, found dtype object \(csr_matrix\)", "sparse coordinates")(
    with_coordinates(sparse.csr_matrix)
)
case("spots", ValueError, "lie on no lattice: .* For cells or beads give bin_size=", "30 % jitter")(
    with_coordinates(lambda found: found + np.random.default_rng(0).normal(scale=30, size=found.shape))
)
case(
    "spots",
    ValueError,
    r"lie on no lattice: .* expected at most 0\.2\. For cells .* give bin_size=",
    "cells without bins",
)(with_coordinates(lambda found: np.random.default_rng(0).uniform(0, 1000, size=found.shape)))
case("spots", ValueError, "84 spots share their coordinates", "all spots at one place")(with_coordinates(np.zeros_like))
case("spots", ValueError, "share their coordinates with another", "all spots on a line")(
    with_coordinates(lambda found: found * [1, 0])
)
case("spots", ValueError, "expected at least 4 spots to find a lattice from coordinates, found 3", "three spots")(
    lambda adata, tmp_path: with_coordinates(lambda found: found)(adata[:3].copy(), tmp_path)
)
case("spots", ValueError, "at least 8 cells that spread in both directions", "bins of their own size on a line")(
    with_coordinates(lambda found: found * [1, 0], bin_size="auto")
)
case("spots", ValueError, "no bin of size 100 holds min_cells=50 cells; the fullest has", "too few cells a bin")(
    with_coordinates(lambda found: found, bin_size=100.0, min_cells=50)
)
for name, place in (("one place", [0, 0]), ("a line", [1, 0])):
    case("spots", ValueError, "at one place or on one line, which array_row/array_col contradict", f"array at {name}")(
        lambda adata, tmp_path, place=place: [
            adata.obsm.__setitem__("spatial", adata.obsm["spatial"] * place),
            lambda: s2s.pp.grid(adata),
        ][1]
    )
case("spots", ValueError, "array_row/array_col and the coordinates contradict each other", "spots of another array")(
    lambda adata, tmp_path: [
        adata.obsm.__setitem__("spatial", adata.obsm["spatial"][np.random.default_rng(0).permutation(adata.n_obs)]),
        lambda: s2s.pp.grid(adata),
    ][1]
)
case(
    "spots", ValueError, r"^1 spots share their coordinates .*; expected one spot a position", "two spots at one place"
)(with_coordinates(duplicated))
case("spots", ValueError, r"the 85 spots lie on no lattice: .* expected at most 0\.2", "two pitches")(
    with_coordinates(two_pitches)
)
case("spots", TypeError, r"'array_row'\] must hold whole numbers, found dtype (object|str);", "array_row of text")(
    with_rows(lambda rows: rows.astype(str))
)
case(
    "spots",
    TypeError,
    r"'array_row'\] must hold whole numbers, found dtype category; convert it",
    "categorical array_row",
)(with_rows(lambda rows: rows.astype(str).astype("category")))
for kind in ("object", "string", "bool"):
    case("spots", TypeError, "whole numbers, found dtype .*; convert it .*, or drop both", f"array_row of {kind}")(
        with_rows(lambda rows, kind=kind: rows.astype(kind))  # type: ignore[misc]
    )
case("spots", ValueError, "whole numbers, found values beyond", "array_row beyond 2^53")(
    with_rows(lambda rows: rows.astype(np.int64) + 2**60)
)
case("spots", ValueError, "whole numbers, found inf", "infinite array_row")(
    with_rows(lambda rows: rows.astype(float).where(np.arange(len(rows)) > 0, np.inf))
)
case("spots", ValueError, "must hold whole numbers, found nan", "array_row missing in a nullable column")(
    with_rows(lambda rows: rows.astype("Int64").where(np.arange(len(rows)) > 0))
)
case("spots", ValueError, r"span a lattice of 5000\d{3} x .* positions.*: check for outliers", "array_row far below 0")(
    with_rows(lambda rows: rows.where(np.arange(len(rows)) > 0, -5_000_000))
)
case(
    "spots",
    ValueError,
    r"whole numbers, found 1\.3, .*; correct them, or drop both array columns",
    "array_row between rows",
)(with_rows(lambda rows: rows + 0.3))
case("spots", ValueError, r"must hold whole numbers, found nan", "array_row missing for a spot")(
    with_rows(lambda rows: rows.astype(float).where(np.arange(len(rows)) > 0))
)
case(
    "spots", ValueError, r"span a lattice of 1000000000 x 10 positions.*: check for outliers", "array_row of a billion"
)(with_rows(huge))
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
simple(
    "spots",
    s2s.pp.grid,
    ValueError,
    "fill must be one of 'tissue', 'hull', 'all', found 'none'",
    "unknown fill",
    fill="none",
)
simple(
    "spots",
    s2s.pp.grid,
    ValueError,
    "bin_shape must be one of 'square', 'hex', found 'round'",
    "unknown bin_shape",
    bin_shape="round",
    bin_size=9.0,
)
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


@case(
    "spots", ValueError, r"gene names are not unique \(gene\); call adata\.var_names_make_unique", "repeated gene names"
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.var_names = ["gene"] * adata.n_vars
    return lambda: s2s.pp.grid(adata)


@case(
    "spots", ValueError, r"spot names are not unique \(spot\); call adata\.obs_names_make_unique", "repeated spot names"
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs_names = ["spot"] * adata.n_obs
    return lambda: s2s.pp.grid(adata)


@case("spots", ValueError, "expected at least one spot and one gene", "an empty AnnData")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    empty = adata[:0].copy()
    return lambda: s2s.pp.grid(empty)


@case(
    "spots",
    ValueError,
    "names of sections must not hold '/', .* found a/b; rename them",
    "a slash in the name of a section",
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["slide"] = "a/b"
    return lambda: s2s.pp.grid(adata, library_key="slide")


@case(
    "spots", ValueError, "is missing for 1 of 85 spots; name the section of each, or drop them", "a spot of no section"
)
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
    case("spots", TypeError, "expected an AnnData, found DataFrame", f"{name} of a table")(
        lambda adata, tmp_path, function=function: lambda: function(adata.to_df())
    )
for function, name in (
    (s2s.pp.sparsify, "pp.sparsify"),
    (s2s.tl.impute, "tl.impute"),
    (s2s.get.image, "get.image"),
    (s2s.pl.grid, "pl.grid"),
):
    case("spots", KeyError, r"no lattice found .*; call dense = s2s\.pp\.grid", f"{name} without a lattice")(
        lambda adata, tmp_path, function=function: lambda: function(adata)
    )

for match, error, arguments in (
    ("upsample must be an integer, found None", TypeError, {"upsample": None}),
    ("bin_size must be a number .*, or 'auto', found \\[9\\]", TypeError, {"bin_size": [9]}),
    ("bin_size must be positive and finite, found inf", ValueError, {"bin_size": np.inf}),
    ("min_cells must be at least 1, found 0", ValueError, {"min_cells": 0}),
    ("min_cells must be an integer", TypeError, {"min_cells": 1.5}),
    ("fill must be one of 'tissue', .* found None", ValueError, {"fill": None}),
    ("spatial_key must be a name, found \\['spatial'\\] \\(list\\)", TypeError, {"spatial_key": ["spatial"]}),
    ("spatial_key must be a name, found None", TypeError, {"spatial_key": None}),
    ("library_key must be a name, found \\['domain'\\]", TypeError, {"library_key": ["domain"]}),
):
    simple("spots", s2s.pp.grid, error, match, f"grid {arguments}", **arguments)


for name, values in (("text", "yes"), ("numbers", 3), ("gaps", [True, None] + [True] * 83)):

    @case("spots", ValueError, r"s2s_measured'\] must hold True or False for every site", f"a mask of {name}")
    def _(adata: ad.AnnData, tmp_path: Any, values: Any = values) -> Callable[[], Any]:
        adata.obs["s2s_measured"] = values
        return lambda: s2s.pp.grid(adata)


@case("dense", ValueError, "bins would mix held-out values", "bins of held-out spots")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    spots = adata[adata.obs["s2s_measured"] | adata.obs["s2s_held_out"]].copy()
    return lambda: s2s.pp.grid(spots, bin_size=200.0)


@case("spots", ValueError, r"adata\.X has 1 values that are NaN or infinite", "bins of NaN")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.X = adata.X.toarray()
    adata.X[3, 3] = np.nan
    return lambda: s2s.pp.grid(adata, bin_size=200.0)


@case("spots", ValueError, "section 'small': expected at least 4 spots to find a lattice", "a section of three spots")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs = pd.DataFrame({"slide": ["small"] * 3 + ["large"] * (adata.n_obs - 3)}, index=adata.obs_names)
    return lambda: s2s.pp.grid(adata, library_key="slide")


def spatialdata(call: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        pytest.importorskip("spatialdata")
        return lambda: call(adata, **arguments)

    return spoil


def through(adata: ad.AnnData, **arguments: Any) -> Any:
    return s2s.pp.from_spatialdata(s2s.get.spatialdata(adata), **arguments)


case("dense", TypeError, "expected a SpatialData, found AnnData", "an AnnData for a SpatialData")(
    spatialdata(s2s.pp.from_spatialdata)
)
for call, match, error, arguments in (
    (through, "table 'cells' not found; the SpatialData has: table", KeyError, {"table": "cells"}),
    (through, "table must be a name, found 3", TypeError, {"table": 3}),
    (through, "spatial_key must be a name, found 3", TypeError, {"spatial_key": 3}),
    (through, "coordinate_system must be a name, found None", TypeError, {"coordinate_system": None}),
    (s2s.get.spatialdata, "region must be a name, found None", TypeError, {"region": None}),
    (s2s.get.spatialdata, "a name that spatialdata allows, such as 'a_b', found 'a/b'", ValueError, {"region": "a/b"}),
    (s2s.get.spatialdata, "coordinate_system must be a name, found 3", TypeError, {"coordinate_system": 3}),
    (s2s.get.spatialdata, "adata.obsm has no 'xy'", KeyError, {"spatial_key": "xy"}),
    (s2s.get.spatialdata_image, "coordinate_system must be a name, found 3", TypeError, {"coordinate_system": 3}),
    (s2s.get.spatialdata_image, "genes not found in adata.var_names: nope; names there", KeyError, {"genes": "nope"}),
    (s2s.get.spatialdata_image, "layer 'no' not found in adata.layers, which has: truth", KeyError, {"layer": "no"}),
):
    case("dense", error, match, f"{call.__name__} {arguments}")(spatialdata(call, **arguments))


# Normalization, and the way into scanpy.


def normalized(change: Callable[[np.ndarray], np.ndarray], **arguments: Any) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.X = change(adata.X.toarray())
        return lambda: s2s.pp.normalize(adata, **arguments)

    return spoil


case("dense", ValueError, r"adata\.X has negative values at measured spots; pp\.normalize needs counts", "negative")(
    normalized(lambda x: x - 1)
)
case("dense", ValueError, r"adata\.X is 0 at all \d+ measured spots, so there is nothing to scale", "no counts at all")(
    normalized(np.zeros_like)
)
case("dense", ValueError, r"adata\.X has \d+ values that are NaN or infinite; set those", "NaN to normalize")(
    normalized(lambda x: np.where(x > 1, np.nan, x))
)
simple("dense", s2s.pp.normalize, ValueError, "target_sum must be positive and finite", "target_sum", target_sum=0)
simple("dense", s2s.pp.normalize, KeyError, r"layer 'x' not found in adata\.layers", "a layer to scale", layer="x")
simple("dense", s2s.get.dense, KeyError, r"layers not found: s2s; adata\.layers has", "dense without a run")
simple("imputed", s2s.get.dense, KeyError, r"genes not found in adata\.var_names: no", "dense of no gene", genes=["no"])
simple(
    "imputed", s2s.get.dense, ValueError, "min_reliability must be from -1 to 1, found 2", "dense", min_reliability=2
)


# A lattice that somebody has changed.


def with_grid(key: str, value: Any) -> Callable[..., Any]:
    def spoil(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
        adata.uns["s2s"]["grid"] = {**adata.uns["s2s"]["grid"], key: value}
        return lambda: s2s.get.image(adata)

    return spoil


case("dense", ValueError, "has an unknown kind 'round'; call s2s.pp.grid again", "a round lattice")(
    with_grid("kind", "round")
)
for key, value in (
    ("basis", None),
    ("basis", np.ones(3)),
    ("basis", np.zeros((2, 2))),
    ("basis", np.full((2, 2), np.nan)),
    ("basis", "wide"),
    ("origin", None),
    ("origin", np.ones((2, 2))),
):
    case(
        "dense",
        ValueError,
        rf"(?s)'{key}'\] is no {key} of a lattice, found .*; call s2s\.pp\.grid again",
        f"{key} {value}",
    )(with_grid(key, value))


@case("dense", KeyError, "adata.obs has no s2s_measured", "a lattice without its mask")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    del adata.obs["s2s_measured"]
    return lambda: s2s.tl.impute(adata, progress=False)


@case("dense", ValueError, "1000000001 x 10 positions.*: check for outliers", "a site a billion rows away")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs = adata.obs.assign(array_row=np.where(np.arange(adata.n_obs) == 0, 10**9, adata.obs["array_row"]))
    return lambda: s2s.tl.impute(adata, progress=False)


@case("dense", ValueError, r"adata\.X is None; pass layer=", "no X")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.X = None
    return lambda: s2s.tl.impute(adata, progress=False)


for name, values in (("text", "yes"), ("gaps", [True, None] * 44 + [True])):
    for function, arguments in ((s2s.tl.impute, {"progress": False}), (s2s.tl.interpolate, {"method": "idw"})):

        @case("dense", ValueError, r"s2s_measured'\] must hold True or False", f"{function.__name__}, a mask of {name}")
        def _(
            adata: ad.AnnData,
            tmp_path: Any,
            values: Any = values,
            function: Any = function,
            arguments: Any = arguments,
        ) -> Callable[[], Any]:
            adata.obs["s2s_measured"] = values
            return lambda: function(adata, **arguments)


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
    ("stride must be an integer, found None", TypeError, {"stride": None}),
    ("no spot is left with stride=100", ValueError, {"stride": 100}),
    ("phase must be an integer, found 0.5", TypeError, {"phase": (0.5, 0)}),
    ("phase must be two integers, found \\(0,\\)", ValueError, {"phase": (0,)}),
    ("fraction must lie between 0 and 1, found nan", ValueError, {"fraction": np.nan}),
    ("must hold True or False for every measured site", ValueError, {"keep": "domain"}),
    ("keep must hold truth values, found dtype object", TypeError, {"keep": np.array([True, None])}),
    ("no spot is left with keep: the section has", ValueError, {"keep": np.zeros(89, bool)}),
    ("rng must be an integer seed, .* found 'seed'", TypeError, {"fraction": 0.5, "rng": "seed"}),
    ("rng must be a seed of at least 0, found -1", ValueError, {"fraction": 0.5, "rng": -1}),
):
    case("dense", error, match, f"sparsify {arguments}")(fresh(s2s.pp.sparsify, **arguments))
simple("dense", s2s.pp.sparsify, ValueError, "spots are held out already; undo that first", "sparsify twice")

# Imputing.
for match, error, arguments in (
    ("genes not found in adata.var_names: nope", KeyError, {"genes": ["nope"]}),
    ("expected at least one gene, found an empty list; pass genes=None", ValueError, {"genes": []}),
    ("genes are named more than once: domain_1; name each once", ValueError, {"genes": ["domain_1", "domain_1"]}),
    ("genes must be a name or a list of names, found 3", TypeError, {"genes": 3}),
    ("genes must be a name or a list of names, found b'domain_1' \\(bytes\\)", TypeError, {"genes": b"domain_1"}),
    ("genes must be names, found .*of a mask pass adata.var_names\\[mask\\]", TypeError, {"genes": np.ones(6, bool)}),
    ("genes must be names, found \\['domain_1'\\] \\(list\\)", TypeError, {"genes": [["domain_1"]]}),
    ("genes not found in adata.var_names: 3; names there look like domain_1", KeyError, {"genes": [3]}),
    ("layer must be a name or None, found \\['truth'\\]", TypeError, {"layer": ["truth"]}),
    ("key_added must be a string, found None", TypeError, {"key_added": None}),
    ("key_added must be a non-empty string without '/', found 'a/b'", ValueError, {"key_added": "a/b"}),
    ("key_added='evaluation' is taken by the scores", ValueError, {"key_added": "evaluation"}),
    ("total_counts must be 'auto', the name of a column .* found True", TypeError, {"total_counts": True}),
    ("'domain'\\] must hold numbers, found dtype category", TypeError, {"total_counts": "domain"}),
    ("'array_row'\\] must be positive at measured spots, and is not", ValueError, {"total_counts": "array_row"}),
    ("dtype must be one of 'float32', 'float16', found None", ValueError, {"dtype": None}),
    ("device 'cuda:99' is not available here; pass device='auto' or 'cpu'", ValueError, {"device": "cuda:99"}),
    ("device must be 'auto' or a torch device, found 3 \\(int\\)", TypeError, {"device": 3}),
    ("checkpoint must be a path, found 3", TypeError, {"checkpoint": 3}),
    ("pretrained must be a path, found 3", TypeError, {"pretrained": 3}),
    ("max_epochs must be an integer, found nan", TypeError, {"max_epochs": np.nan}),
    ("rng must be an integer seed", TypeError, {"rng": np.random.RandomState(0)}),
    ("rng must be an integer seed, .* found True", TypeError, {"rng": True}),
    ("store must be a path, found 3", TypeError, {"store": 3}),
    ("layer 'norm' not found", KeyError, {"layer": "norm"}),
    ("key_added must be a string, found 3", TypeError, {"key_added": 3}),
    ("key_added must be a non-empty string without '/', found ''", ValueError, {"key_added": ""}),
    ("key_added='grid' is taken by the lattice", ValueError, {"key_added": "grid"}),
    ("key_added='x_std' is the name of a standard deviation", ValueError, {"key_added": "x_std"}),
    (r"key_added='truth' would overwrite adata\.layers\['truth'\]", ValueError, {"key_added": "truth"}),
    ("preset must be one of 'default', 'fast', 'quick', 'paper', found 'best'", ValueError, {"preset": "best"}),
    ("network must be a CDCINConfig, found 3", TypeError, {"network": 3}),
    ("training must be a TrainingConfig, found {}", TypeError, {"training": {}}),
    ("max_epochs must be at least 0, found -1", ValueError, {"max_epochs": -1}),
    ("max_epochs must be an integer", TypeError, {"max_epochs": 1.5}),
    ("max_distance must be at least 0 and finite, found -1", ValueError, {"max_distance": -1}),
    ("max_distance must be a number", TypeError, {"max_distance": "far"}),
    ("total_counts must be 'auto', the name of a column", TypeError, {"total_counts": 3}),
    ("total_counts='depth' not found: .*; pass 'auto' or None", KeyError, {"total_counts": "depth"}),
    ("dtype must be one of 'float32', 'float16', found 'float64'", ValueError, {"dtype": "float64"}),
    ("device must be 'auto' or a torch device, found 'tpu9'", ValueError, {"device": "tpu9"}),
    ("rng must be an integer seed, .* found 'seed'", TypeError, {"rng": "seed"}),
    ("rng must be a seed of at least 0, found -1", ValueError, {"rng": -1}),
    (
        "the folder nowhere of checkpoint=.* does not exist; make it first",
        FileNotFoundError,
        {"checkpoint": "nowhere/run.ckpt"},
    ),
    ("no checkpoint found at nowhere.ckpt", FileNotFoundError, {"pretrained": "nowhere.ckpt"}),
    (
        "the folder nowhere of store=.* does not exist; make it first",
        FileNotFoundError,
        {"store": "nowhere/layers.zarr"},
    ),
    ("image 0 of source has 1 x 1 pixels, .*; leave it out", ValueError, {"natural_images": np.zeros((1, 1))}),
    ("image 0 .* float array, found dtype <U1", TypeError, {"natural_images": np.array([["a", "b"], ["c", "d"]])}),
    (r"or 4\), found \(2, 3, 4, 5, 6\)", ValueError, {"natural_images": np.zeros((2, 3, 4, 5, 6))}),
    ("source holds no images; give at least one array", ValueError, {"natural_images": []}),
    ("found nothing at 'nowhere'", ValueError, {"natural_images": "nowhere"}),
    ("image 0 of source has 9 x 5 pixels, but at least 8 x 8", ValueError, {"natural_images": np.zeros((9, 5))}),
    ("image 0 of source must have the shape", ValueError, {"natural_images": np.zeros(9)}),
    ("image 1 of source must be a boolean, .* found NoneType", TypeError, {"natural_images": [np.eye(9), None]}),
    ("image 0 of source holds NaN or infinite values", ValueError, {"natural_images": np.full((9, 9), np.inf)}),
    (
        "must be a boolean, integer or float array, found dtype complex128",
        TypeError,
        {"natural_images": np.eye(9) * 1j},
    ),
    (
        "must be a boolean, integer or float array, found dtype object",
        TypeError,
        {"natural_images": np.eye(9).astype(object)},
    ),
    ("source must be 'photographs', .* found dict", TypeError, {"natural_images": {}}),
):
    simple("dense", s2s.tl.impute, error, match, f"impute {arguments}", **({"progress": False} | arguments))


for function, name in (
    (s2s.tl.impute, "impute"),
    (lambda adata: s2s.tl.interpolate(adata, "kriging"), "interpolate"),
    (lambda adata: s2s.tl.evaluate(adata, "truth"), "evaluate"),
):

    @case("dense", ValueError, "1 spots are both measured and held out .*sparsify sets", f"{name}: both at once")
    def _(adata: ad.AnnData, tmp_path: Any, function: Any = function) -> Callable[[], Any]:
        adata.obs.loc[adata.obs_names[adata.obs["s2s_measured"]][0], "s2s_held_out"] = True
        return lambda: function(adata)


@case("dense", ValueError, "no site is measured: .* is False everywhere; call s2s.pp.grid", "nothing measured")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["s2s_measured"] = False
    return lambda: s2s.tl.impute(adata, progress=False)


@case("dense", ValueError, "two sites share one lattice position", "a site twice")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs.loc[adata.obs_names[0], ["array_row", "array_col"]] = adata.obs.iloc[1][
        ["array_row", "array_col"]
    ].tolist()
    return lambda: s2s.tl.impute(adata, progress=False)


@case(
    "dense",
    ValueError,
    r"gene names are not unique \(gene\); call adata\.var_names_make_unique",
    "imputing repeated genes",
)
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
                adata, preset="quick", max_epochs=1, progress=False, **{argument: tmp_path / "run.ckpt"}
            )

        case("dense", ValueError, r"run\.ckpt is no readable checkpoint .*truncated or foreign", f"{argument}: {name}")(
            spoil
        )


@case("dense", ValueError, r"key_added='mine' would overwrite adata\.layers\['mine_std'\]", "somebody's deviations")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.layers["mine_std"] = adata.layers["truth"].copy()
    return lambda: s2s.tl.impute(adata, key_added="mine", progress=False)


@case("dense", ValueError, r"key_added='mine' would overwrite adata\.var\['mine_reliability'\]", "somebody's column")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.var["mine_reliability"] = 1.0
    return lambda: s2s.tl.interpolate(adata, "idw", key_added="mine")


def little(**more: Any) -> dict[str, Any]:
    training = s2s.tl.TrainingConfig(max_epochs=1, steps_per_epoch=1, masks=1, batch_size=1, n_images=1)
    return {"training": training, "natural_images": None, "progress": False} | more


for name, change in (
    ("cut in half", lambda content: content[: len(content) // 2]),
    ("without its end", lambda content: content[:-50]),
    ("with a byte changed", lambda content: content[:1000] + bytes([content[1000] ^ 255]) + content[1001:]),
):
    for argument in ("checkpoint", "pretrained"):

        @case("dense", ValueError, r"run\.ckpt is (no readable checkpoint .*truncated|damaged: )", f"{argument} {name}")
        def _(adata: ad.AnnData, tmp_path: Any, change: Any = change, argument: str = argument) -> Callable[[], Any]:
            path = tmp_path / "run.ckpt"
            s2s.tl.impute(adata, copy=True, **little(checkpoint=path))
            path.write_bytes(change(path.read_bytes()))
            return lambda: s2s.tl.impute(adata, **little(**{argument: path}))


@case(
    "dense",
    ValueError,
    r"is the checkpoint of another run \(measured values, mask or seed differ\)",
    "another's checkpoint",
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    s2s.tl.impute(adata, copy=True, **little(checkpoint=tmp_path / "run.ckpt"))
    return lambda: s2s.tl.impute(adata, **little(checkpoint=tmp_path / "run.ckpt", rng=1))


@case(
    "dense", ValueError, "do not fit this run .* network features is 16 there and 8 here", "weights of another network"
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    s2s.tl.impute(adata, copy=True, **little(checkpoint=tmp_path / "run.ckpt"))
    network = s2s.nn.CDCINConfig(features=8)
    return lambda: s2s.tl.impute(adata, **little(pretrained=tmp_path / "run.ckpt", network=network))


for argument in ("checkpoint", "pretrained"):

    @case(
        "dense", ValueError, "is no readable checkpoint of s2s_scverse \\(IsADirectoryError", f"a folder as {argument}"
    )
    def _(adata: ad.AnnData, tmp_path: Any, argument: str = argument) -> Callable[[], Any]:
        return lambda: s2s.tl.impute(adata, **little(**{argument: tmp_path}))


def closed(tmp_path: Path) -> Path:
    """Return a folder that cannot be written into, by root either."""
    if os.geteuid() == 0:
        return Path("/proc")
    (tmp_path / "closed").mkdir(mode=0o500)
    return tmp_path / "closed"


for argument, closing in (
    ("checkpoint", "the checkpoint .*run could not be written|cannot write checkpoint=.*: permission denied in"),
    ("store", "the folder .* cannot be made|cannot write store=.*: permission denied in"),
):

    @case("dense", FileNotFoundError, "the folder .*file of .* does not exist", f"{argument} below a file")
    def _(adata: ad.AnnData, tmp_path: Any, argument: str = argument) -> Callable[[], Any]:
        (tmp_path / "file").touch()
        return lambda: s2s.tl.impute(adata, **little(**{argument: tmp_path / "file" / "run"}))

    @case("dense", OSError, closing, f"{argument} in a folder that is closed")
    def _(adata: ad.AnnData, tmp_path: Any, argument: str = argument) -> Callable[[], Any]:
        folder = closed(tmp_path)
        return lambda: s2s.tl.impute(adata, **little(**{argument: folder / "run"}))


@case("dense", FileExistsError, "exists already; pass another store, or delete it", "a file as store")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    (tmp_path / "file").touch()
    return lambda: s2s.tl.impute(adata, **little(store=tmp_path / "file"))


@case("dense", FileExistsError, "exists already; pass another store, or delete it", "a damaged store")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    (tmp_path / "store.partial").mkdir()
    (tmp_path / "store.partial" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attribbutes": {}}')
    return lambda: s2s.tl.impute(adata, **little(store=tmp_path / "store"))


@case(
    "dense",
    ValueError,
    "x.png' has 1 x 1 pixels, but at least 8 x 8 are needed; leave it out",
    "a picture of one pixel",
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    from skimage.io import imsave

    imsave(tmp_path / "x.png", np.zeros((1, 1), np.uint8), check_contrast=False)
    return lambda: s2s.tl.impute(adata, natural_images=tmp_path, progress=False)


@case("dense", ValueError, "holds no images; expected files ending in .bmp", "a folder without pictures")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    return lambda: s2s.tl.impute(adata, natural_images=tmp_path, progress=False)


@case(
    "dense",
    ValueError,
    r"picture\.png' cannot be read as an image: .*; repair or",
    "a folder of pictures that are none",
)
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    (tmp_path / "picture.png").write_bytes(b"no picture")
    return lambda: s2s.tl.impute(adata, natural_images=tmp_path, progress=False)


# Interpolating, scoring.
simple(
    "dense",
    s2s.tl.interpolate,
    ValueError,
    "method must be one of 'nearest', .* found 'magic'",
    "unknown method",
    method="magic",
)
simple(
    "dense",
    s2s.tl.interpolate,
    KeyError,
    "genes not found in adata.var_names: nope",
    "interpolate unknown",
    method="idw",
    genes="nope",
)
simple(
    "dense",
    s2s.tl.evaluate,
    KeyError,
    "layers not found: s2s; adata.layers has: truth; call",
    "nothing to evaluate",
    keys="s2s",
)
simple("dense", s2s.tl.evaluate, TypeError, "keys must be the name of a layer", "keys of a wrong type", keys=3)
simple("dense", s2s.tl.evaluate, ValueError, "keys must name at least one layer", "no keys", keys=[])
simple("dense", s2s.tl.evaluate, KeyError, "layer 'gold' not found", "unknown truth", keys="truth", truth="gold")

for match, error, arguments in (
    ("method must be one of 'nearest', .* found None", ValueError, {"method": None}),
    ("method must be one of 'nearest', .* found \\['idw'\\]", ValueError, {"method": ["idw"]}),
    ("key_added='truth' would overwrite", ValueError, {"method": "idw", "key_added": "truth"}),
    ("key_added must be a string, found 3", TypeError, {"method": "idw", "key_added": 3}),
    ("max_distance must be at least 0 and finite, found nan", ValueError, {"method": "idw", "max_distance": np.nan}),
    ("layer 'no' not found in adata.layers, which has: truth", KeyError, {"method": "idw", "layer": "no"}),
    ("expected at least one gene, found an empty list", ValueError, {"method": "idw", "genes": []}),
):
    simple("dense", s2s.tl.interpolate, error, match, f"interpolate {arguments}", **arguments)
for match, error, arguments in (
    ("and each once, found \\['s2s', 's2s'\\]", ValueError, {"keys": ["s2s", "s2s"]}),
    ("keys must be the name of a layer or a list of them, found \\[3\\]", TypeError, {"keys": [3]}),
    ("truth must be a name or None, found 3", TypeError, {"truth": 3}),
    ("layer 's2s' is both in keys and the truth", ValueError, {"truth": "s2s"}),
    ("genes not found in adata.var_names: nope", KeyError, {"genes": "nope"}),
    ("n_bootstrap must be at least 1, found 0", ValueError, {"n_bootstrap": 0}),
    ("n_bootstrap must be an integer", TypeError, {"n_bootstrap": 1.5}),
    ("rng must be a seed of at least 0", ValueError, {"rng": -1}),
):
    simple("imputed", s2s.tl.evaluate, error, match, f"evaluate {arguments}", **arguments)


@case("imputed", ValueError, "21 spots are both measured and held out", "spots that are measured and held out")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["s2s_held_out"] = True
    return lambda: s2s.tl.evaluate(adata)


@case("imputed", ValueError, "s2s_held_out'\\] must hold True or False for every site, found yes", "held out: yes")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    adata.obs["s2s_held_out"] = "yes"
    return lambda: s2s.tl.evaluate(adata)


@case("dense", ValueError, "no spot is held out .* so there is no truth to score against; call", "nothing held out")
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
simple(
    "dense",
    s2s.get.image,
    KeyError,
    "genes not found in adata.var_names: nope",
    "image of an unknown gene",
    genes="nope",
)
simple(
    "dense",
    s2s.get.image,
    KeyError,
    "layer 'no' not found in adata.layers, which has",
    "image of an unknown layer",
    layer="no",
)
simple("dense", s2s.get.history_df, KeyError, r"no run 's2s' found .* has: none; call s2s\.tl\.impute", "no history")
simple("dense", s2s.get.evaluation_df, KeyError, r"no scores found .*; call s2s\.tl\.evaluate", "no evaluation")
simple("dense", s2s.get.reliable_genes, KeyError, "adata.var has no 's2s_reliability'; .* call s2s", "no reliability")
simple("dense", s2s.get.interval, KeyError, "layers not found: s2s; .* or pass key=", "no intervals")
simple(
    "dense", s2s.pl.compare, KeyError, "layers not found: s2s; .* or pass keys=", "nothing to compare", genes="domain_1"
)
simple(
    "dense", s2s.pl.uncertainty, KeyError, "layers not found: s2s; .* or pass key=", "no uncertainty", genes="domain_1"
)
simple(
    "dense", s2s.pl.history, KeyError, r"no run 's2s' found .* has: none; call s2s\.tl\.impute", "no history to draw"
)
simple("dense", s2s.pl.evaluation, KeyError, r"no scores found .*; call s2s\.tl\.evaluate", "no evaluation to draw")
simple(
    "dense", s2s.pl.reliability, KeyError, "adata.var has no 's2s_reliability'; .* call s2s", "no reliability to draw"
)
simple("dense", s2s.pl.grid, KeyError, "section 'left' not found", "a section that there is not", library_id="left")
for function, match, error, arguments in (
    (s2s.get.image, "genes must be a name or a list of names, found 3", TypeError, {"genes": 3}),
    (s2s.get.image, "layer must be a name or None, found \\['truth'\\]", TypeError, {"layer": ["truth"]}),
    (s2s.get.image, "library_id must be a name, found \\['a'\\]", TypeError, {"library_id": ["a"]}),
    (s2s.get.at, "numbers of shape \\(n, 2\\), found str", TypeError, {"points": "here"}),
    (s2s.get.at, "numbers of shape \\(n, 2\\), found NoneType", TypeError, {"points": None}),
    (s2s.get.at, "numbers of shape \\(n, 2\\), found list of object", TypeError, {"points": [[1, 2], [3]]}),
    (s2s.get.at, "numbers of shape \\(n, 2\\): x and y; found shape \\(3, 3\\)", ValueError, {"points": np.eye(3)}),
    (s2s.get.at, "found values that are NaN or infinite", ValueError, {"points": [[np.nan, 1]]}),
    (s2s.get.at, "layer 'no' not found in adata.layers, which has", KeyError, {"points": [[1, 1]], "layer": "no"}),
    (s2s.get.at, "layer must be a name or None", TypeError, {"points": [[1, 1]], "layer": ["truth"]}),
    (s2s.get.history_df, "no run 'no' found .* which has: s2s; call s2s.tl.impute", KeyError, {"key": "no"}),
    (s2s.get.history_df, "key must be a name, found \\['s2s'\\]", TypeError, {"key": ["s2s"]}),
    (s2s.get.reliable_genes, "min_reliability must be from -1 to 1, found 2", ValueError, {"min_reliability": 2}),
    (s2s.get.reliable_genes, "min_reliability must be a number, found", TypeError, {"min_reliability": "high"}),
    (s2s.get.reliable_genes, "adata.var has no 'no_reliability'; runs that have one: s2s", KeyError, {"key": "no"}),
    (s2s.get.reliable_genes, "key must be a name, found None", TypeError, {"key": None}),
    (s2s.get.interval, "level must be from 0.05 to 0.99, found 1", ValueError, {"level": 1}),
    (s2s.get.interval, "level must be a number, found 'wide'", TypeError, {"level": "wide"}),
    (s2s.get.interval, "run 'truth' has no standard deviations; call s2s.tl.impute", KeyError, {"key": "truth"}),
    (s2s.get.interval, "key must be a name, found \\['s2s'\\]", TypeError, {"key": ["s2s"]}),
    (s2s.get.interval, "genes not found in adata.var_names: nope", KeyError, {"genes": "nope"}),
    (s2s.pl.history, "key must be a name, found 3", TypeError, {"key": 3}),
    (s2s.pl.history, "axes must be matplotlib axes, found int", TypeError, {"axes": 3}),
    (s2s.pl.evaluation, "scores not found: no; there are pcc", KeyError, {"scores": "no"}),
    (s2s.pl.evaluation, "each of scores must be a name, found 3", TypeError, {"scores": 3}),
    (s2s.pl.evaluation, "at least one score and one method, found an empty list", ValueError, {"scores": []}),
    (s2s.pl.evaluation, "methods without scores: no; scored are s2s", KeyError, {"methods": ["no"]}),
    (s2s.pl.evaluation, "each of methods must be a name, found 3", TypeError, {"methods": ["s2s", 3]}),
    (s2s.pl.evaluation, "axes must be matplotlib axes, found str", TypeError, {"axes": "left"}),
    (s2s.pl.reliability, "key must be a name, found None", TypeError, {"key": None}),
    (s2s.pl.grid, "alpha must be from 0 to 1, found 2", ValueError, {"alpha": 2}),
    (s2s.pl.grid, "axes must be matplotlib axes, found int", TypeError, {"ax": 3}),
    (s2s.pl.grid, "no image found: .* or pass img=False", KeyError, {"img": True}),
    (s2s.pl.grid, "img must be True, False, None or the name of an image", TypeError, {"img": 3}),
    (s2s.pl.grid, "adata.obsm has no 'xy'", KeyError, {"spatial_key": "xy"}),
):
    simple("imputed", function, error, match, f"{function.__module__[12:]} {arguments}", **arguments)
for function, colours in ((s2s.pl.compare, "error_cmap"), (s2s.pl.uncertainty, "std_cmap")):
    for match, error, arguments in (
        ("genes not found in adata.var_names: nope", KeyError, {"genes": "nope"}),
        ("expected at least one gene", ValueError, {"genes": []}),
        ("img_alpha must be a number, found", TypeError, {"img_alpha": "half"}),
        ("expected the name of a colour map, or a Colormap, found 3", TypeError, {"cmap": 3}),
        ("'nope' is not a (valid value for colormap|known colormap)", KeyError, {colours: "nope"}),
        ("section 'left' not found", KeyError, {"library_id": "left"}),
        ("library_id must be a name, found 3", TypeError, {"library_id": 3}),
    ):
        simple(
            "imputed", function, error, match, f"{function.__name__} {arguments}", **({"genes": "flat_1"} | arguments)
        )
simple(
    "imputed",
    s2s.pl.compare,
    TypeError,
    "keys must be the name of a layer or a list",
    "compare keys 3",
    genes="flat_1",
    keys=3,
)
simple("imputed", s2s.pl.compare, TypeError, "layer must be a name or None", "compare layer 3", genes="flat_1", layer=3)
simple(
    "imputed",
    s2s.pl.uncertainty,
    TypeError,
    "key must be a name, found \\['s2s'\\]",
    "uncertainty of two",
    genes="flat_1",
    key=["s2s"],
)
simple(
    "imputed",
    s2s.pl.uncertainty,
    KeyError,
    "run 'truth' has no standard deviations",
    "uncertainty of truth",
    genes="flat_1",
    key="truth",
)


# What takes no AnnData.
for match, error, arguments in (
    ("n_rows must be at least 8, found 7", ValueError, {"n_rows": 7}),
    ("n_cols must be an integer, found None", TypeError, {"n_cols": None}),
    ("n_genes must be at least 6, found 5", ValueError, {"n_genes": 5}),
    ("depth must be positive and finite, found 0", ValueError, {"depth": 0}),
    ("depth must be a number, found 'deep'", TypeError, {"depth": "deep"}),
    ("dispersion must be at least 0 and finite, found nan", ValueError, {"dispersion": np.nan}),
    ("pitch must be positive and finite, found -1", ValueError, {"pitch": -1}),
    ("lattice must be one of 'square', 'hex', 'quincunx', 'cells', found 'round'", ValueError, {"lattice": "round"}),
    ("rng must be an integer seed", TypeError, {"rng": "seed"}),
):
    alone(s2s.datasets.simulated_tissue, error, match, f"simulated_tissue {arguments}", **arguments)
for match, error, arguments in (
    ("size must be a pair of integers", TypeError, {"size": 3}),
    ("the height in size must be at least 1, found 0", ValueError, {"size": (0, 4)}),
    ("the width in size must be an integer, found 4.5", TypeError, {"size": (4, 4.5)}),
    ("n must be at least 1, found 0", ValueError, {"n": 0}),
    ("n must be an integer, found True", TypeError, {"n": True}),
    ("rng must be a seed of at least 0", ValueError, {"rng": -1}),
    ("source holds no images; give at least one array", ValueError, {"source": np.zeros((0, 9, 9))}),
    ("source must be .* or a list of arrays, found NoneType", TypeError, {"source": None}),
    ("image 0 of source has 1 x 1 pixels", ValueError, {"source": np.zeros((1, 1, 3))}),
    ("image 0 of source must be .* found dtype datetime64", TypeError, {"source": np.zeros((9, 9), "M8[s]")}),
):
    alone(s2s.datasets.natural_images, error, match, f"natural_images {arguments}", **arguments)
for suffix in ("png", "jpg", "tif", "gif", "bmp", "webp"):

    @case("spots", ValueError, rf"x\.{suffix}' cannot be read as an image: .*; repair or remove it", f"no {suffix}")
    def _(adata: ad.AnnData, tmp_path: Any, suffix: str = suffix) -> Callable[[], Any]:
        (tmp_path / f"x.{suffix}").write_bytes(bytes(range(256)))
        return lambda: s2s.datasets.natural_images(tmp_path)


@case("spots", ValueError, "x.png' cannot be read as an image: .*; repair or remove it", "half a picture")
def _(adata: ad.AnnData, tmp_path: Any) -> Callable[[], Any]:
    from skimage.io import imsave

    imsave(tmp_path / "x.png", np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8), check_contrast=False)
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:4000])
    return lambda: s2s.datasets.natural_images(tmp_path)


alone(s2s.datasets.xenium_mouse_brain, TypeError, "cache_dir must be a path, found 3", "a cache at 3", cache_dir=3)
for match, error, arguments in (
    ("stages must be at least 1, found 0", ValueError, {"stages": 0}),
    ("features must be an integer, found 'many'", TypeError, {"features": "many"}),
    ("blocks must be an integer, found True", TypeError, {"blocks": True}),
    ("context_channels must be at least 0, found -1", ValueError, {"context_channels": -1}),
    ("mask_channel must be True or False, found 1", TypeError, {"mask_channel": 1}),
    ("consistency must be one of .* found 'loose'", ValueError, {"consistency": "loose"}),
    ("noise_level must be positive and finite, found 0", ValueError, {"noise_level": 0}),
    ("features must be a multiple of heads, found 16 and 3", ValueError, {"attention": True, "heads": 3}),
    ("conv_squeeze must be at most features=16, found 99", ValueError, {"attention": True, "conv_squeeze": 99}),
):
    alone(s2s.nn.CDCINConfig, error, match, f"CDCINConfig {arguments}", **arguments)
for match, error, arguments in (
    ("initial must be one of 'nearest', .* found None", ValueError, {"initial": None}),
    ("max_epochs must be at least 0, found -1", ValueError, {"max_epochs": -1}),
    ("mask_dropout must be from 0 to 0.5, found 0.6", ValueError, {"mask_dropout": 0.6}),
    ("learning_rate must be positive and finite, found 0", ValueError, {"learning_rate": 0}),
    ("learning_rate must be a number, found None", TypeError, {"learning_rate": None}),
    ("shrink must be True or False, found 'x'", TypeError, {"shrink": "x"}),
    ("betas must be two numbers .* found \\('a', 0.1\\)", ValueError, {"betas": ("a", 0.1)}),
    ("gene_scale must be a number, found 'large'", TypeError, {"gene_scale": "large"}),
    ("betas must be two numbers of at least 0 and below 1, found \\(1, 1\\)", ValueError, {"betas": (1, 1)}),
    ("sparser_weight and dense_weight are both 0", ValueError, {"sparser_weight": 0, "dense_weight": 0}),
    ("match_images needs standardised genes", ValueError, {"match_images": "noise", "gene_scale": 10.0}),
):
    alone(s2s.tl.TrainingConfig, error, match, f"TrainingConfig {arguments}", **arguments)


def network(*shapes: Any, config: Any) -> Any:
    """Build a network, and apply it to maps of these shapes."""
    import torch

    built = s2s.nn.CDCIN(config)
    return built(*[torch.zeros(shape) if isinstance(shape, tuple) else shape for shape in shapes])


plane = (1, 1, 6, 9)
for match, error, shapes, config in (
    ("config must be a CDCINConfig or None, found 'paper'", TypeError, (), "paper"),
    ("config must be a CDCINConfig or None, found {}", TypeError, (), {}),
    ("start must be a tensor, found NoneType", TypeError, (None, plane, plane), None),
    ("values must be a tensor, found ndarray", TypeError, (plane, np.zeros(plane), plane), None),
    ("start must have shape .* found \\(1, 6, 9\\)", ValueError, ((1, 6, 9), plane, plane), None),
    ("values must have shape \\(1, 1, 6, 9\\) to go with start", ValueError, (plane, (1, 1, 6, 8), plane), None),
    ("mask must have shape \\(1, 1, 6, 9\\) to go with start", ValueError, (plane, plane, (2, 1, 6, 9)), None),
    ("context_channels is 0, but context is a tensor", ValueError, (plane, plane, plane, plane), None),
):
    case("spots", error, match, f"CDCIN {config} {shapes}")(
        lambda adata, tmp_path, shapes=shapes, config=config: lambda: network(*shapes, config=config)
    )


@pytest.mark.parametrize(("start", "spoil", "error", "match"), CASES)
def test_refused(
    start: str,
    spoil: Callable[..., Callable[[], Any]],
    error: type[Exception],
    match: str,
    fresh_spots: ad.AnnData,
    fresh_dense: ad.AnnData,
    fresh_imputed: ad.AnnData,
    fingerprint: Callable[[Any], str],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    adata = {"spots": fresh_spots, "dense": fresh_dense, "imputed": fresh_imputed}[start]
    call = spoil(adata, tmp_path)
    before, files = fingerprint(adata), sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=match):
        call()
    assert fingerprint(adata) == before
    assert sorted(tmp_path.rglob("*")) == files


def test_the_fingerprint_sees_every_change(fresh_dense: ad.AnnData, fingerprint: Callable[[Any], str]) -> None:
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
        lambda adata: adata.obsm.__setitem__("new", adata.obsm["spatial"]),
        lambda adata: adata.varm.__setitem__("new", np.ones((adata.n_vars, 1))),
        lambda adata: adata.obsp.__setitem__("new", sparse.eye(adata.n_obs, format="csr")),
        lambda adata: setattr(adata, "raw", adata),
        lambda adata: setattr(adata, "obs", adata.obs.astype({"array_row": np.int16})),
        lambda adata: adata.uns["s2s"].__setitem__("new", 1),
        lambda adata: adata.uns["s2s"]["grid"].__setitem__("stride", 9),
    ]
    for change in changes:
        changed = fresh_dense.copy()
        change(changed)
        assert fingerprint(changed) != whole
