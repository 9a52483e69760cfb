"""Bad input, case by case: the class of the error, what it says, and that AnnData and files are as they were.

A case is what is wrong (arguments, or a change of the AnnData, or both), the error, and what its text must hold.
"""

import os
import pickle
from inspect import signature
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import sparse

import s2s_scverse as s2s
from s2s_scverse.tl import TrainingConfig

CASES = []
LITTLE = {
    "training": TrainingConfig(min_spots=0, max_epochs=1, steps_per_epoch=1, masks=1, batch_size=1, n_images=1),
    "natural_images": None,
    "progress": False,
}


def refuses(start, function, **always):
    """Register calls with `spots`, a section on its lattice (`dense`), one that is `imputed`, or no AnnData (None)."""

    def register(*cases):
        for *wrong, error, text in cases:
            arguments = always | next((each for each in wrong if isinstance(each, dict)), {})
            change = next((each for each in wrong if callable(each)), None)
            name = f"{function.__module__.removeprefix('s2s_scverse.')} {text}"
            CASES.append(pytest.param(start, change, function, arguments, error, text, id=name[:90]))

    return register


@pytest.mark.filterwarnings("ignore:(Variable|Observation) names are not unique")
@pytest.mark.parametrize(("start", "change", "function", "arguments", "error", "text"), CASES)
def test_refused(start, change, function, arguments, error, text, request, fingerprint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adata = request.getfixturevalue(f"fresh_{start or 'spots'}")
    spoilt = change(adata) if change else None
    given = adata if spoilt is None else spoilt
    before, files, figures = fingerprint(given), sorted(tmp_path.rglob("*")), plt.get_fignums()
    if all(value is not CLOSED for value in arguments.values()):  # which root is refused only on writing
        monkeypatch.setattr("s2s_scverse._train._fit.CrossValidation", None)  # nothing slow is begun
    with pytest.raises(error, match=text):
        function(*([given] if start else []), **arguments)
    assert fingerprint(given) == before
    assert sorted(tmp_path.rglob("*")) == files
    assert plt.get_fignums() == figures


# Ways to spoil a section.
def obs(**columns):
    return lambda adata: setattr(adata, "obs", adata.obs.assign(**columns))


def x(convert):
    return lambda adata: setattr(adata, "X", convert(adata.X.toarray()))


def places(convert):
    """Other coordinates, and no array positions that contradict them."""

    def change(adata):
        adata.obs = adata.obs.drop(columns=["array_row", "array_col"])
        adata.obsm["spatial"] = convert(adata.obsm["spatial"].astype(float))

    return change


def places_beside_array(convert):
    return lambda adata: adata.obsm.__setitem__("spatial", convert(adata.obsm["spatial"].astype(float)))


def one_value(value, layer=None):
    """A value of a measured spot."""

    def change(adata):
        values = adata.X.toarray()
        values[np.flatnonzero(adata.obs["s2s_measured"])[2], 1] = value
        if layer is None:
            adata.X = values
        else:
            adata.layers[layer] = values

    return change


def file(name, content=b""):
    def write(adata):
        Path(name).write_bytes(content)

    return write


def a_billion(obs):
    return np.where(obs.index == obs.index[0], 10**9, obs["array_row"])


def grid(**entries):
    return lambda adata: adata.uns["s2s"].__setitem__("grid", {**adata.uns["s2s"]["grid"], **entries})


def whole(adata):
    """No spot is held out yet."""
    adata.obs["s2s_measured"] |= adata.obs.pop("s2s_held_out")


def only_spots(adata):
    return adata[adata.obs["s2s_measured"] | adata.obs["s2s_held_out"]].copy()


def both_at_once(adata):
    adata.obs.loc[adata.obs_names[adata.obs["s2s_measured"]][0], "s2s_held_out"] = True


def without_counts(adata):
    adata.X = np.zeros(adata.shape)
    del adata.layers["truth"]


def three_spots_in_b(adata):
    adata.obs = pd.DataFrame({"slide": ["b"] * 3 + ["a"] * (adata.n_obs - 3)}, index=adata.obs_names)


def in_obs(*pair):
    """Coordinates in columns of obs only, and no array positions."""

    def change(adata):
        x, y = adata.obsm.pop("spatial").T
        adata.obs = pd.DataFrame({pair[0]: x, pair[1]: y}, index=adata.obs_names)

    return change


def named_by_array(adata):
    in_obs("a", "b")(adata)
    adata.obs_names = [f"{2 + row}x{3 + row}" for row in range(adata.n_obs)]


def noise(xy):
    return np.random.default_rng(0).normal(scale=30, size=xy.shape)


# The lattice.
refuses("spots", s2s.pp.grid)(
    (ad.AnnData.to_df, TypeError, "expected an AnnData, found DataFrame"),
    (lambda a: a[:0].copy(), ValueError, r"at least one spot and one gene, found an AnnData of shape \(0, 6\)"),
    ({"upsample": True}, TypeError, "upsample must be an integer, found True"),
    ({"upsample": 0}, ValueError, "upsample must be from 1 to 8, found 0"),
    ({"bin_size": [9]}, TypeError, r"bin_size must be a number .*, or 'auto', found \[9\]"),
    ({"bin_size": 0}, ValueError, "bin_size must be positive and finite, found 0"),
    ({"bin_size": 1e-6}, ValueError, "bin_size=1e-06 cuts the section into .* bins, of which"),
    ({"bin_size": 9.0, "bin_shape": "round"}, ValueError, "bin_shape must be one of 'square', 'hex', found 'round'"),
    ({"min_cells": 0}, ValueError, "min_cells must be at least 1, found 0"),
    ({"fill": "none"}, ValueError, "fill must be one of 'tissue', 'hull', 'all', found 'none'"),
    ({"library_key": ["domain"]}, TypeError, r"library_key must be a name, found \['domain'\]"),
    ({"library_key": "slide"}, KeyError, "library_key='slide' not found"),
    (lambda a: setattr(a, "var_names", ["g"] * a.n_vars), ValueError, r"not unique \(g\); call adata\.var_names_make"),
    (lambda a: setattr(a, "obs_names", ["s"] * a.n_obs), ValueError, r"not unique \(s\); call adata\.obs_names_make"),
    (obs(slide="a/b"), {"library_key": "slide"}, ValueError, r"sections must not contain '/' .*, found a/b; rename"),
    (obs(slide=["a"] * 84 + [None]), {"library_key": "slide"}, ValueError, "is missing for 1 of 85 spots; name the"),
    (three_spots_in_b, {"library_key": "slide"}, ValueError, "section 'b': expected at least 4 spots to find"),
    (obs(s2s_measured=[True, None] + [True] * 83), ValueError, r"s2s_measured'\] must hold True or False for every"),
    (obs(s2s_measured=[False] + [True] * 84), ValueError, "1 of 85 sites are unmeasured; pass"),
    (x(lambda v: np.where(v > 4, np.nan, v)), {"bin_size": 2e2}, ValueError, r"has \d+ values that are NaN .*; set "),
    (obs(in_tissue=0), ValueError, "no spot lies on tissue: .* is 0 for all 85"),
    (obs(in_tissue="edge"), ValueError, r"in_tissue'\] must hold 1 \(tissue\) or 0 \(background\), found edge"),
    (without_counts, ValueError, r"all 85 spots are without counts \(every value is 0\)"),
    # Array positions.
    (obs(array_row=0, array_col=0), ValueError, "84 spots share their array_row/array_col"),
    (obs(array_row=0.5), ValueError, r"'array_row'\] must hold whole numbers, found 0.5"),
    (obs(array_row=lambda o: o.array_row.astype(float).where(o.index != o.index[0], np.inf)), ValueError, "found inf"),
    (obs(array_row=lambda o: o.array_row.astype(np.int64) + 2**60), ValueError, "whole numbers, found values beyond"),
    (obs(array_row=a_billion), ValueError, "of which nearly all are empty; .*: check for outliers"),
    (obs(array_row=lambda o: o.array_row.astype(str)), TypeError, "found .*; convert it .*, or drop"),
    (obs(array_row=lambda o: o.array_row.astype("category")), TypeError, "found .*; convert it .*, or drop"),
    (places_beside_array(lambda xy: xy * [1, 0]), ValueError, "at one place or on one line, unlike array_row"),
    (places_beside_array(np.random.default_rng(0).permutation), ValueError, "and the coordinates contradict each oth"),
    # Coordinates alone.
    (lambda a: places(lambda xy: xy)(a) or a.obsm.__delitem__("spatial"), KeyError, "adata.obsm has no 'spatial'"),
    (in_obs("x", "y"), KeyError, r"pass spatial_key=, or set .*\['spatial'\] = adata\.obs\[\['x', 'y'\]\]"),
    (named_by_array, KeyError, r"or set adata\.obsm\['spatial'\] to the two numbers in the names of .* 2x3\)"),
    (places(lambda xy: np.where(xy > 900, np.nan, xy)), ValueError, r"is NaN or infinite for \d+ of 85 spots; drop"),
    (places(lambda xy: xy[:, [0, 0, 1]]), ValueError, r"2 columns \(x, y\), found .* 3\); pass another"),
    *((places(lambda xy, k=k: xy.astype(k)), TypeError, "must hold numbers, found") for k in (bool, complex, str)),
    (places(sparse.csr_matrix), TypeError, r"must hold numbers, found dtype object \(csr_matrix\)"),
    (places(lambda xy: xy + noise(xy)), ValueError, r"do not lie on a lattice: .* For cells or beads pass bin_size="),
    (places(lambda xy: xy[[0, *range(84)]]), ValueError, "^1 spots share their .*; expected one spot per position"),
    (lambda a: places(lambda xy: xy[:3])(b := a[:3].copy()) or b, ValueError, "at least 4 spots to find .* 3"),
    (places(lambda xy: xy * [1, 0]), {"bin_size": "auto"}, ValueError, "at least 8 cells that spread in both direct"),
    (places(lambda xy: xy), {"bin_size": 1e2, "min_cells": 50}, ValueError, "size 100 holds min_cells=50 cells; the"),
)
refuses("dense", s2s.pp.grid)(
    ({}, ValueError, "are unmeasured; pass|held out"),
    (only_spots, {"bin_size": 200.0}, ValueError, "bins would mix held-out values .* bin first, then call s2s.pp"),
)
for function, always in (
    *((s2s.pp.sparsify, {}), (s2s.tl.impute, {}), (s2s.tl.interpolate, {"method": "idw"})),
    *((s2s.get.image, {}), (s2s.pl.grid, {})),
):
    refuses("spots", function, **always)(
        (ad.AnnData.to_df, TypeError, "expected an AnnData, found DataFrame"),
        ({}, KeyError, r"no lattice found .*; call dense = s2s\.pp\.grid"),
    )
    refuses("dense", function, **always)(
        (lambda a: a.uns.__delitem__("s2s"), KeyError, r"no lattice found .*pp\.grid again on the spots")
    )
refuses("dense", s2s.get.image)(
    *(
        (grid(**{key: value}), ValueError, r"(?s)does not describe a lattice \(.*\); call s2s\.pp\.grid again")
        for key, value in {"kind": "round", "basis": np.ones(3), "origin": None, "stride": "two"}.items()
    ),
    (obs(array_col=0), ValueError, "two sites share one lattice position"),
)

# Arguments that functions share.
SHARED = {
    "genes": (
        ("nope", KeyError, "genes not found in adata.var_names: nope; names there look like"),
        ([], ValueError, "expected at least one gene, found an empty list; pass genes=None"),
        (["flat_1", "flat_1"], ValueError, "genes are named more than once: flat_1; name each once"),
        (3, TypeError, "genes must be a name or a list of names, found 3"),
        (np.ones(6, bool), TypeError, r"genes must be names, found .*for a mask pass adata.var_names\[mask\]"),
    ),
    "layer": (
        ("no", KeyError, "layer 'no' not found in adata.layers, which has: truth"),
        (["truth"], TypeError, r"layer must be a name or None, found \['truth'\]"),
    ),
    "key": ((["s2s"], TypeError, r"key must be a name, found \['s2s'\]"),),
    "library_id": (
        ("left", KeyError, "section 'left' not found"),
        (["a"], TypeError, r"library_id must be a name, found \['a'\]"),
    ),
    "spatial_key": (
        ("xy", KeyError, "coordinates not found: adata.obsm has no 'xy', it has: spatial"),
        (["spatial"], TypeError, r"spatial_key must be a name, found \['spatial'\] \(list\)"),
    ),
    "coordinate_system": ((3, TypeError, "coordinate_system must be a name, found 3"),),
    "rng": (
        (-1, ValueError, "rng must be a seed of at least 0, found -1"),
        *((rng, TypeError, f"rng must be an integer seed, .* found {rng!r}") for rng in ("seed", 1.5, True)),
    ),
    "key_added": (
        (3, TypeError, "key_added must be a string, found 3"),
        ("a/b", ValueError, "key_added must be a non-empty string without '/', found 'a/b'"),
        ("grid", ValueError, "key_added='grid' is taken by the lattice"),
        ("evaluation", ValueError, "key_added='evaluation' is taken by the scores"),
        ("x_std", ValueError, "key_added='x_std' is the name of a standard deviation"),
        ("truth", ValueError, r"key_added='truth' would overwrite adata\.layers\['truth'\]"),
    ),
    "max_distance": (
        (-1, ValueError, "max_distance must be at least 0 and finite, found -1"),
        ("far", TypeError, "max_distance must be a number"),
    ),
    "level": (("wide", TypeError, "level must be a number, found 'wide'"),),
    "img": (
        (True, KeyError, r"no image found: adata.uns\['spatial'\] has no entry with.* or pass img=False"),
        (3, TypeError, "img must be True, False, None or the name of an image"),
    ),
    "alpha": ((1.5, ValueError, "alpha must be from 0 to 1, found 1.5"),),
    "img_alpha": (("half", TypeError, "img_alpha must be a number, found"),),
}
for start, function, always in (
    ("spots", s2s.pp.grid, {}),
    *(("dense", function, {}) for function in (s2s.pp.normalize, s2s.pp.mask_artifacts)),
    *(("dense", function, {}) for function in (s2s.get.image, s2s.get.spatialdata, s2s.get.spatialdata_image)),
    ("dense", s2s.tl.impute, {"progress": False}),
    ("dense", s2s.tl.interpolate, {"method": "idw"}),
    *(("imputed", function, {}) for function in (s2s.get.dense, s2s.get.interval, s2s.get.history_df)),
    *(("imputed", function, {}) for function in (s2s.get.reliable_genes, s2s.get.reliability_df, s2s.tl.evaluate)),
    ("imputed", s2s.get.at, {"points": [[1, 1]]}),
    ("imputed", s2s.get.draws, {"n": 1}),
    ("imputed", s2s.tl.propagate, {"statistic": len, "n": 2, "progress": False}),
    *(("imputed", function, {}) for function in (s2s.pl.grid, s2s.pl.history, s2s.pl.reliability)),
    *(("imputed", function, {"genes": "flat_1"}) for function in (s2s.pl.compare, s2s.pl.uncertainty)),
    *((None, function, {}) for function in (s2s.datasets.simulated_tissue, s2s.datasets.natural_images)),
):
    names = set(signature(function).parameters)
    names |= set(signature(s2s.pl.compare).parameters) - {"layer"} if function is s2s.pl.uncertainty else set()
    for name in sorted(SHARED.keys() & names):
        refuses(start, function, **always)(*(({name: value}, *expected) for value, *expected in SHARED[name]))


# Spatialdata, and the way into scanpy.
def through(adata, **arguments):
    pytest.importorskip("spatialdata")
    return s2s.pp.from_spatialdata(s2s.get.spatialdata(adata), **arguments)


refuses("dense", s2s.pp.from_spatialdata)(({}, TypeError, "expected a SpatialData, found AnnData"))
refuses("dense", through)(({"table": "cells"}, KeyError, "table 'cells' not found; the SpatialData has: table"))
refuses("dense", s2s.get.spatialdata)(
    ({"region": "a/b"}, ValueError, "a name that spatialdata allows, such as 'a_b', found 'a/b'"),
    ({"into": 3}, TypeError, "into must be a SpatialData, found int"),
)
refuses("dense", s2s.pp.normalize)(
    (x(lambda v: v - 1), ValueError, r"adata\.X has negative values at measured spots; pp\.normalize needs counts"),
    (x(np.zeros_like), ValueError, r"adata\.X is 0 at all \d+ measured spots, so there is nothing to scale"),
    ({"target_sum": 0}, ValueError, "target_sum must be positive and finite"),
)
refuses("dense", s2s.pp.mask_artifacts)(
    ({"line_fraction": 2}, ValueError, "line_fraction must lie between 0 and 1, found 2"),
    ({"n_mads": 0}, ValueError, "n_mads must be positive and finite, found 0"),
)
refuses("dense", s2s.get.dense)(({}, KeyError, r"layers not found: s2s; adata\.layers has"))
refuses("imputed", s2s.get.dense)(
    ({"key": "truth"}, KeyError, r"'truth' was not written by .*unmeasured sites; runs .*: s2s"),
    (lambda a: a.var.__delitem__("s2s_reliability"), {"min_reliability": 0.5}, KeyError, "no 's2s_reliability'"),
    ({"min_reliability": 1}, ValueError, "no gene has a reliability of at least 1, the largest is"),
    ({"min_reliability": 2}, ValueError, "min_reliability must be from -1 to 1, found 2"),
)


# Holding spots out.
refuses("dense", s2s.pp.sparsify)(({}, ValueError, "spots are held out already; undo that first"))
refuses("dense", s2s.pp.sparsify)(
    (whole, {"stride": 0}, ValueError, "stride must be at least 1, found 0"),
    (whole, {"stride": 100}, ValueError, "no spot is left with stride=100"),
    (whole, {"phase": (2, 0)}, ValueError, "phase must be from 0 to 1, found 2"),
    (whole, {"phase": (0,)}, ValueError, r"phase must be two integers, found \(0,\)"),
    (whole, {"fraction": 0}, ValueError, "fraction must lie between 0 and 1"),
    (whole, {"keep": "spots"}, KeyError, "keep='spots' not found"),
    (whole, {"keep": "domain"}, ValueError, "must hold True or False for every measured site"),
    (whole, {"keep": np.arange(5)}, TypeError, "keep must hold truth values, found dtype int64"),
    (whole, {"keep": np.ones(5, bool)}, ValueError, r"keep must have one value for each of the \d+ sites"),
    (whole, {"keep": np.ones(5, bool), "fraction": 0.5}, ValueError, "fraction and keep exclude each other"),
    (whole, {"keep": np.zeros(89, bool)}, ValueError, "no spot is left with keep: the section has"),
    (whole, {"fraction": 0.5, "rng": "seed"}, TypeError, "rng must be an integer seed, .* found 'seed'"),
)

# Imputing, interpolating.
for function, always in ((s2s.tl.impute, {"progress": False}), (s2s.tl.interpolate, {"method": "idw"})):
    refuses("dense", function, **always)(
        (one_value(np.nan, "norm"), {"layer": "norm"}, ValueError, r"\['norm'\] is NaN or infinite at measured spots"),
        (one_value(1e16), ValueError, r"adata\.X has values up to 1e\+16 for .*, more than 1e\+15; rescale"),
        (x(lambda v: 0 * v), ValueError, "all measured values are 0, so there is nothing to predict.*s2s.pp.normalize"),
        (obs(s2s_measured="yes"), ValueError, r"s2s_measured'\] must hold True or False"),
        (obs(s2s_measured=False), ValueError, "no site is measured: .* is False everywhere; call s2s.pp.grid"),
        (both_at_once, ValueError, "1 spots are both measured and held out .*sparsify sets"),
    )
refuses("dense", s2s.tl.impute, progress=False)(
    (x(lambda v: v.astype(object)), TypeError, r"adata\.X must hold real numbers, found dtype .* convert it"),
    (lambda a: setattr(a, "X", None), ValueError, r"adata\.X is None; pass layer="),
    (one_value(np.nan), ValueError, r"X is NaN or infinite at measured spots for .*; set or drop those values"),
    (x(lambda v: 0 * v + 1.5), ValueError, "no gene varies between measured spots, so there is nothing to predict"),
    (lambda a: a.obs.__delitem__("s2s_measured"), KeyError, "adata.obs has no s2s_measured"),
    (obs(array_row=a_billion), ValueError, "1000000001 x 10 positions.*: check for outliers"),
    (lambda a: a.layers.__setitem__("mine_std", a.X), {"key_added": "mine"}, ValueError, r"layers\['mine_std'\]"),
    ({"preset": "best"}, ValueError, "preset must be one of 'default', 'fast', 'quick', 'paper', found 'best'"),
    ({"network": 3}, TypeError, "network must be a CDCINConfig, found 3"),
    ({"training": {}}, TypeError, "training must be a TrainingConfig, found {}"),
    ({"max_epochs": -1}, ValueError, "max_epochs must be at least 0, found -1"),
    ({"total_counts": True}, TypeError, "total_counts must be 'auto', the name of a column .* found True"),
    ({"total_counts": "depth"}, KeyError, "total_counts='depth' not found: .*; pass 'auto' or None"),
    ({"total_counts": "domain"}, TypeError, r"'domain'\] must hold numbers, found dtype category"),
    ({"total_counts": "array_row"}, ValueError, r"'array_row'\] must be positive at measured spots, but is not at"),
    (x(np.sqrt), {"denoise": True}, ValueError, "denoise=True needs values that are counts"),
    ({"dtype": "float64"}, ValueError, "dtype must be one of 'float32', 'float16', found 'float64'"),
    ({"device": "cuda:99"}, ValueError, "device must be 'auto' or an available .*, found 'cuda:99'"),
    ({"device": "tpu9"}, ValueError, "device must be 'auto' or an available torch device, found 'tpu9'"),
    ({"natural_images": "nowhere"}, ValueError, "found nothing at 'nowhere'"),
)


# Files that `impute` reads and writes.
class Thief:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


WRITTEN = []


def checkpoint(change):
    """A checkpoint of a run with the same arguments, changed."""

    def write(adata):
        if not WRITTEN:
            s2s.tl.impute(adata, copy=True, checkpoint="run.ckpt", **LITTLE)
            WRITTEN.append(Path("run.ckpt").read_bytes())
        Path("run.ckpt").write_bytes(change(WRITTEN[0]))

    return write


def one_byte(content):
    return content[:999] + bytes([content[999] ^ 255]) + content[1000:]


def closed(adata):
    Path("closed").mkdir(mode=0o500)


def damaged_store(adata):
    Path("store.partial").mkdir()
    Path("store.partial", "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attribbutes": {}}')


SMALL = s2s.nn.CDCINConfig(features=8)
CLOSED = "/proc/x" if os.geteuid() == 0 else "closed/x"  # root may write into any other folder
UNREADABLE = r"run\.ckpt is not a readable checkpoint .*truncated or of another program"
EXISTS = "exists already; pass another store"
DAMAGED = r"run\.ckpt is (not a readable checkpoint .*truncated|damaged: )"
for argument in ("checkpoint", "pretrained"):
    refuses("dense", s2s.tl.impute, **LITTLE)(
        ({argument: 3}, TypeError, f"{argument} must be a path, found 3"),
        (file("run.ckpt", pickle.dumps(Thief())), {argument: "run.ckpt"}, ValueError, UNREADABLE),
        (checkpoint(lambda content: content[: len(content) // 2]), {argument: "run.ckpt"}, ValueError, DAMAGED),
        (checkpoint(one_byte), {argument: "run.ckpt"}, ValueError, DAMAGED),
        ({argument: "."}, ValueError, r"is not a readable checkpoint of s2s_scverse \(IsADirectoryError"),
    )
refuses("dense", s2s.tl.impute, **LITTLE)(
    ({"pretrained": "nowhere.ckpt"}, FileNotFoundError, "no checkpoint found at nowhere.ckpt"),
    ({"checkpoint": "nowhere/x"}, FileNotFoundError, "nowhere of checkpoint=.* does not exist; make it"),
    ({"store": "nowhere/x"}, FileNotFoundError, "the folder nowhere of store=.* does not exist; make it first"),
    ({"store": 3}, TypeError, "store must be a path, found 3"),
    (checkpoint(bytes), {"checkpoint": "run.ckpt", "rng": 1}, ValueError, r"fit this run \(measured .*, mask or seed"),
    (checkpoint(bytes), {"checkpoint": "run.ckpt", "max_epochs": 7}, ValueError, "max_epochs is 1 there and 7 here"),
    (checkpoint(bytes), {"pretrained": "run.ckpt", "network": SMALL}, ValueError, "not fit .* features is 16 there"),
    (closed, {"checkpoint": CLOSED}, OSError, "could not be written|cannot write checkpoint=.*: permission denied in"),
    (closed, {"store": CLOSED}, OSError, "could not be written|cannot write store=.*: permission denied in"),
    (file("file"), {"store": "file"}, FileExistsError, EXISTS),
    (damaged_store, {"store": "store"}, FileExistsError, EXISTS),
)

# Images and covariates.
refuses("dense", s2s.pp.image_features)(
    ({"img": "nowhere.tif"}, FileNotFoundError, "no image found at nowhere.tif"),
    ({"img": np.zeros(5)}, ValueError, "img must have shape"),
    ({"img": np.zeros((9, 9, 3)), "transform": np.eye(4)}, ValueError, "transform must be a scale factor"),
    ({"img": np.zeros((9, 9), "u1"), "transform": np.c_[np.eye(2), [9e3, 9e3]]}, ValueError, "all sites lie outside"),
    ({"extractor": "conch"}, ValueError, "extractor must be"),
    ({"scales": []}, ValueError, "scales must be a sequence"),
    ({"scales": [-1]}, ValueError, "scales"),
)
refuses("dense", s2s.tl.impute, progress=False)(
    ({"covariates": "s2s_image"}, KeyError, "call s2s.pp.image_features first"),
    ({"covariates": ["array_row", "none"]}, KeyError, "covariate 'none' not found"),
    ({"covariates": []}, TypeError, "covariates must be keys"),
    (obs(kind="tissue"), {"covariates": "kind"}, TypeError, "must be numeric"),
    (obs(holes=lambda o: o.array_row.where(o.array_row > 5)), {"covariates": "holes"}, ValueError, "NaN or infinite"),
    ({"covariates": "array_row", "preset": "paper"}, ValueError, "this run starts from 'nearest'"),
)

# Interpolating, scoring.
refuses("dense", s2s.tl.interpolate, method="idw")(
    ({"method": "magic"}, ValueError, "method must be one of 'nearest', .* found 'magic'"),
    ({"covariates": "array_row"}, ValueError, "kriging, pca_kriging, state_kriging, stack, found method 'idw'"),
    (lambda a: a.var.__setitem__("idw_reliability", 1.0), ValueError, r"overwrite adata\.var\['idw_reliability'\]"),
    (obs(idw_visible=1), ValueError, r"would overwrite adata\.obs"),
)


def seen(adata):
    """A layer that was interpolated with what is held out now."""
    whole(adata)
    s2s.tl.interpolate(adata, "nearest")
    s2s.pp.sparsify(adata, stride=2)


def nothing_held_out(adata):
    s2s.tl.interpolate(adata, "nearest")
    adata.obs["s2s_held_out"] = False


refuses("dense", s2s.tl.evaluate)(
    ({"keys": "s2s"}, KeyError, r"layers not found: s2s; adata.layers has: truth; call s2s\.tl\.impute"),
    ({"keys": 3}, TypeError, "keys must be the name of a layer or a list of them, found 3"),
    ({"keys": []}, ValueError, "keys must name at least one layer"),
    (nothing_held_out, {"keys": "nearest"}, ValueError, "no spot is held out .* call s2s.pp.sparsify, then impute"),
    (seen, {"keys": "nearest"}, ValueError, "were visible to its method"),
)
refuses("imputed", s2s.tl.evaluate)(
    ({"keys": ["s2s", "s2s"]}, ValueError, r"and each once, found \['s2s', 's2s'\]"),
    ({"layer": "s2s"}, ValueError, "layer 's2s' is both in keys and the truth"),
    ({"n_bootstrap": 0}, ValueError, "n_bootstrap must be at least 1, found 0"),
    (obs(s2s_held_out="yes"), ValueError, r"s2s_held_out'\] must hold True or False for every site, found yes"),
)

# Reading results, plots.
NO_SCORES, NO_RUN = (
    r"no scores found .*; call s2s\.tl\.evaluate",
    r"no run 's2s' found .* has: none; call s2s\.tl\.impute",
)
NO_RELIABILITY = "adata.var has no 's2s_reliability'; .* call s2s"
for function, text in (
    (s2s.get.history_df, NO_RUN),
    (s2s.get.evaluation_df, NO_SCORES),
    (s2s.get.evaluation_summary_df, NO_SCORES),
    (s2s.get.reliable_genes, NO_RELIABILITY),
    (s2s.pl.reliability, NO_RELIABILITY),
    (s2s.get.interval, "layers not found: s2s; .* or pass key="),
):
    refuses("dense", function)(({}, KeyError, text))
refuses("imputed", s2s.get.at)(
    ({"points": "here"}, TypeError, r"numbers of shape \(n, 2\), found str"),
    ({"points": [[1, 2], [3]]}, TypeError, r"numbers of shape \(n, 2\), found list of object"),
    ({"points": np.eye(3)}, ValueError, r"numbers of shape \(n, 2\): x and y; found shape \(3, 3\)"),
    ({"points": [["a", "b"]]}, TypeError, "points must be an AnnData or numbers"),
    ({"points": [[np.nan, 1]]}, ValueError, "found values that are NaN or infinite"),
    ({"points": ad.AnnData(np.ones((2, 2)))}, KeyError, "coordinates not found"),
)
refuses("imputed", s2s.get.history_df)(({"key": "no"}, KeyError, "no run 'no' found .* which has: s2s; call s2s.tl"))
refuses("imputed", s2s.get.reliable_genes)(
    ({"min_reliability": 2}, ValueError, "min_reliability must be from -1 to 1, found 2"),
    ({"key": "no"}, KeyError, "adata.var has no 'no_reliability'; runs that have one: s2s"),
    ({"scale": 0}, ValueError, "scale must be at least 1, found 0"),
)
refuses("imputed", s2s.get.reliability_df)(
    ({"scales": (1, 1)}, ValueError, r"scales must differ, found \[1, 1\]"),
    ({"scales": 0.5}, TypeError, "scales must be integers, found 0.5"),
    ({"regions": "zones"}, KeyError, "regions 'zones' not found in adata.obs, which has"),
    ({"n": 0}, ValueError, "n must be at least 1, found 0"),
    ({"key": "no"}, KeyError, "layers not found: no"),
)
refuses("imputed", s2s.get.interval)(
    ({"level": 1}, ValueError, "level must be from 0.05 to 0.99, found 1"),
    ({"key": "truth"}, KeyError, "run 'truth' has no standard deviations; call s2s.tl.impute"),
)


def partly_merged(adata):
    """As anndata.concat(uns_merge="unique") leaves the entry: what two runs share."""
    del adata.uns["s2s"]["s2s"]["intervals"]["width"]
    adata.uns["s2s"]["evaluation"] = {}


refuses("imputed", s2s.get.interval)(
    (partly_merged, KeyError, r"run 's2s' has no interval widths, as after anndata\.concat"),
)
refuses("imputed", s2s.get.evaluation_df)((partly_merged, KeyError, "no scores found .*; call s2s.tl.evaluate"))


def other_spot(adata):
    adata.X = adata.X.toarray()
    adata.X[np.flatnonzero(adata.obs["s2s_visible"])[3], 2] += 1


refuses("imputed", s2s.get.draws, n=1)(
    (other_spot, ValueError, "the spots are not those that run 's2s' was fitted to"),
    (lambda a: a.layers.__delitem__("s2s_std"), KeyError, "no standard deviations"),
    (lambda a: a.uns["s2s"]["s2s"].__delitem__("model"), KeyError, "has no fitted model"),
    ({"n": 0}, ValueError, "n must be at least 1"),
    ({"noise": 1}, TypeError, "noise must be True or False"),
)
refuses("imputed", s2s.tl.propagate, statistic=len, n=2, progress=False)(
    ({"statistic": "mean"}, TypeError, "statistic must be a function"),
    ({"n": 1}, ValueError, "n must be at least 2"),
    ({"level": 1.0}, ValueError, "level must lie between 0 and 1"),
    ({"statistic": lambda draw: (1, 2, 3)}, ValueError, "found 3 results"),
    ({"statistic": lambda draw: ([1, 2], 3)}, ValueError, "the same entries"),
    ({"statistic": lambda draw: pd.Series([1.0], [draw.X.sum()])}, ValueError, "differ in"),
)


def descriptors(value):
    return lambda adata: adata.obsm.__setitem__("s2s_image", np.full((adata.n_obs, 2), value))


refuses("imputed", s2s.pl.history)(
    (lambda a: a.uns["s2s"]["s2s"].update(history=pd.DataFrame()), ValueError, "'s2s' is empty: nothing was trained"),
)
refuses("imputed", s2s.pl.evaluation)(
    ({"scores": "no"}, KeyError, "scores not found: no; there are pcc"),
    ({"scores": 3}, TypeError, "each of scores must be a name, found 3"),
    ({"scores": []}, ValueError, "at least one score and one method, found an empty list"),
    ({"keys": ["no"]}, KeyError, "keys without scores: no; scored are s2s"),
)
refuses("dense", s2s.pl.image_features)(
    ({"key": "none"}, KeyError, r"image features 'none' not found .* call s2s.pp.image_features first"),
    (descriptors(1.0), ValueError, "no column of .* varies"),
    (descriptors(np.nan), ValueError, "must be finite"),
)
for function, key, colours in ((s2s.pl.compare, "keys", "error_cmap"), (s2s.pl.uncertainty, "key", "std_cmap")):
    refuses("dense", function, genes="domain_1")(({}, KeyError, f"layers not found: s2s; .* or pass {key}="))
    refuses("imputed", function, genes="flat_1")(
        (lambda a: a.layers["s2s"].fill(np.nan), ValueError, r"holds no values of flat_1: they were not imputed"),
        ({"cmap": 3}, TypeError, "a str or Colormap .* you passed 3"),
        ({colours: "nope"}, ValueError, "'nope' is not a valid value for"),
        ({"vmin": "p99", "vmax": "p1"}, ValueError, "vmin must lie below vmax, found 'p99' and 'p1'"),
        ({"vmax": "p101"}, ValueError, "vmax must be a number or a percentile from 'p0' to 'p100', found 'p101'"),
        ({"vmin": None}, TypeError, "vmin must be a number or a percentile"),
    )
refuses("imputed", s2s.pl.compare, genes="flat_1")(
    ({"keys": ()}, ValueError, r"keys must name at least one layer, and each once, found \[\]"),
)
refuses("imputed", s2s.pl.uncertainty, genes="flat_1")(
    ({"key": "truth"}, KeyError, r"run 'truth' has no standard deviations.*uncertainty=True.*s2s\.pl\.compare"),
)

# What takes no AnnData.
refuses(None, s2s.datasets.simulated_tissue)(
    ({"n_rows": 7}, ValueError, "n_rows must be at least 8, found 7"),
    ({"n_cols": None}, TypeError, "n_cols must be an integer, found None"),
    ({"n_genes": 5}, ValueError, "n_genes must be at least 6, found 5"),
    ({"depth": 0}, ValueError, "depth must be positive and finite, found 0"),
    ({"dispersion": np.nan}, ValueError, "dispersion must be at least 0 and finite, found nan"),
    ({"pitch": -1}, ValueError, "pitch must be positive and finite, found -1"),
    ({"lattice": "round"}, ValueError, "must be one of 'square', 'hex', 'quincunx', 'cells', found 'round'"),
)


refuses(None, s2s.datasets.natural_images)(
    ({"size": 3}, TypeError, r"size must be a pair of integers \(height, width\), found 3"),
    ({"size": (0, 4)}, ValueError, "the height in size must be at least 1, found 0"),
    ({"n": 0}, ValueError, "n must be at least 1, found 0"),
    ({"source": 7}, TypeError, "source must be 'photographs', .* or a list of arrays, found int"),
    ({"source": "photos"}, ValueError, "the path of a folder; found nothing at 'photos'"),
    ({"source": []}, ValueError, "source holds no images; pass at least one array"),
    ({"source": [[0, 1]]}, TypeError, "image 0 of source must be .* array, found list"),
    ({"source": np.zeros(9)}, ValueError, r"must have the shape \(height, width\) or .* found \(9,\)"),
    ({"source": [np.ones((20, 20)), np.ones((1, 1))]}, ValueError, "image 1 .* 1 x 1 pixels, .* 8 x 8 .*; leave it"),
    ({"source": np.zeros((2, 3, 4, 5, 6))}, ValueError, r"or 4\), found \(2, 3, 4, 5, 6\)"),
    ({"source": np.zeros((9, 9), complex)}, TypeError, "integer or float array, found dtype complex128"),
    ({"source": np.full((9, 9), np.nan)}, ValueError, "image 0 of source holds NaN or infinite values"),
    ({"source": "."}, ValueError, r"holds no images; expected files ending in \.bmp"),
    (file("x.txt", b"x"), {"source": "x.txt"}, ValueError, "found a file at"),
    (file("x.png", b"no image"), {"source": "."}, ValueError, "cannot be read as an image: .*; repair or"),
)
refuses(None, s2s.datasets.xenium_mouse_brain)(({"cache_dir": 3}, TypeError, "cache_dir must be a path, found 3"))
refuses(None, s2s.nn.CDCINConfig)(
    ({"stages": 0}, ValueError, "stages must be at least 1, found 0"),
    ({"context_channels": -1}, ValueError, "context_channels must be at least 0, found -1"),
    ({"mask_channel": 1}, TypeError, "mask_channel must be True or False, found 1"),
    ({"consistency": "loose"}, ValueError, "consistency must be one of 'exact', 'noisy', 'off', found 'loose'"),
    ({"noise_level": 0}, ValueError, "noise_level must be positive and finite, found 0"),
    ({"attention": True, "heads": 3}, ValueError, "features must be a multiple of heads, found 16 and 3"),
    ({"attention": True, "features": 4}, ValueError, "features must be at least 8 with attention, found 4"),
)
refuses(None, TrainingConfig)(
    ({"initial": None}, ValueError, "initial must be one of 'nearest', .* found None"),
    ({"max_epochs": -1}, ValueError, "max_epochs must be at least 0, found -1"),
    ({"crop": True}, TypeError, "TrainingConfig: crop must be an integer"),
    ({"image_weight": -1}, ValueError, "image_weight must be at least 0"),
    ({"mask_dropout": 0.6}, ValueError, "mask_dropout must be from 0 to 0.5, found 0.6"),
    ({"learning_rate": 0}, ValueError, "learning_rate must be positive and finite, found 0"),
    ({"betas": ("a", 0.1)}, ValueError, r"betas must be two numbers .* found \('a', 0.1\)"),
    ({"betas": (1, 1)}, ValueError, r"betas must be two numbers of at least 0 and below 1, found \(1, 1\)"),
    ({"sparser_weight": 0, "dense_weight": 0}, ValueError, "sparser_weight and dense_weight are both 0"),
    ({"trainer_kwargs": 3}, TypeError, "trainer_kwargs must be a dictionary, found 3"),
)


def network(*maps, config=None):
    """Build a network, and apply it to maps of these shapes."""
    import torch

    s2s.nn.CDCIN(config)(*[torch.zeros(each) if isinstance(each, tuple) else each for each in maps])


PLANE = (1, 1, 6, 9)
for maps, config, error, text in (
    ((), "paper", TypeError, "config must be a CDCINConfig or None, found 'paper'"),
    ((None, PLANE, PLANE), None, TypeError, "start must be a tensor, found NoneType"),
    (((1, 6, 9), PLANE, PLANE), None, ValueError, r"start must have shape \(B, 1, H, W\), found \(1, 6, 9\)"),
    ((PLANE, (1, 1, 6, 8), PLANE), None, ValueError, r"values must have shape \(1, 1, 6, 9\) to go with start"),
    ((PLANE, PLANE, PLANE, PLANE), None, ValueError, "context_channels is 0, but context is a tensor"),
    ((PLANE,) * 3, s2s.nn.CDCINConfig(context_channels=2), ValueError, "context_channels is 2, but context is None"),
    ((PLANE,) * 4, s2s.nn.CDCINConfig(context_channels=3), ValueError, r"context must have shape \(1, 3, 6, 9\)"),
):
    CASES.append(
        pytest.param(None, None, lambda m=maps, c=config: network(*m, config=c), {}, error, text, id=f"CDCIN {text}")
    )
