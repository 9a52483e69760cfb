"""``s2s evaluate``: accuracy of imputation at held-out spots."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import typer
from typer import Option

from .. import _keys
from . import _options as options
from ._app import on_a_terminal, print_json
from ._files import check_output, read_genes, read_section, replacing
from ._layout import find_covariates, lay_out, normalise, refuse_useless

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from .._predict import Method

IMPUTING = (
    *("methods", "stride", "fraction", "n_top_genes", "preset", "max_epochs", "device", "seed", "normalised"),
    *("image", "image_scale", "covariates"),
)
"""Parameters that --keys makes useless."""
BASELINES = ("kriging", "pca_kriging")  # methods that s2s is compared with
DETECTED = 0.1  # fraction of the measured spots in which a gene must be detected to be scored by default


def evaluate(
    context: typer.Context,
    source: options.Source,
    *,
    methods: Annotated[
        str, Option(help="s2s and methods of s2s.tl.interpolate, separated by commas.")
    ] = "s2s,nearest,kriging,pca_kriging",
    keys: Annotated[
        str | None,
        Option(help="Only score these layers of a section with held-out spots, without imputing anything."),
    ] = None,
    stride: Annotated[int | None, Option(help="Keep every n-th spot along both axes; default: every second.")] = None,
    fraction: Annotated[float | None, Option(help="Keep this random fraction of the spots instead.")] = None,
    output: Annotated[Path | None, Option("--output", "-o", help="CSV file for the scores of every gene.")] = None,
    genes: options.Genes = None,
    n_top_genes: Annotated[
        int,
        Option(
            min=1,
            help="Without --genes: number of genes to score, the most variable of those detected in at least a tenth "
            "of the measured spots.",
        ),
    ] = 200,
    preset: options.Preset = "default",
    max_epochs: options.MaxEpochs = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    image: options.Image = None,
    image_scale: options.ImageScale = 1.0,
    covariates: options.Covariates = None,
    bin_size: options.BinSize = None,
    layer: options.Layer = None,
    normalised: options.Normalise = None,
    positions: options.Positions = None,
    table: options.Table = "table",
    spatial_key: options.SpatialKey = "spatial",
    library_key: options.LibraryKey = None,
    as_json: options.Json = False,
) -> None:
    """Score the imputation of held-out spots of a section.

    Holds out spots, imputes them, and compares the scores with those of other methods. Held-out spots are not used to
    fit, to normalize or to select genes. An image and other covariates are known at held-out spots, too; s2s and the
    stack use them. The remaining spots are farther apart than those of the whole section, so the
    scores are lower than those to expect between all spots.
    """
    from .. import pp
    from .._checks import did_you_mean
    from .._predict import METHODS

    if output is not None:
        check_output(output, source=source)
    if stride is not None and fraction is not None:
        msg = "--stride and --fraction exclude each other; pass one of them"
        raise ValueError(msg)
    if keys is None:
        known = ("s2s", *METHODS)
        names = _split(methods.replace("cokriging", "pca_kriging"))  # a former name
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            msg = f"--methods must be some of {', '.join(known)}, found {', '.join(unknown) or 'none'}"
            raise ValueError(msg + did_you_mean(unknown, known))
    else:
        names = _split(keys)
        refuse_useless(_given(context), "layers of --keys are scored as they are")
    adata = read_section(source, positions=positions, table=table, layer=layer)
    wanted = read_genes(genes, adata)
    section = lay_out(adata, bin_size=bin_size, spatial_key=spatial_key, library_key=library_key, default_upsample=1)
    seconds: dict[str, float] = {}
    if keys is None:
        pp.sparsify(section, stride=2 if stride is None else stride, fraction=fraction, rng=seed)
        normalise(section, normalised)
        wanted = wanted or top_genes(section, n_top_genes)
        training: Any = {"preset": preset, "max_epochs": max_epochs, "device": device, "rng": seed}
        training["covariates"] = find_covariates(section, covariates, image, image_scale)
        seconds = run_methods(section, names, wanted, **training)
    scores, means, compared = score(section, names, wanted, seconds)
    if output is not None:
        with replacing(output) as temporary:
            scores.to_csv(temporary, index=False)
    measured, held_out = (int(section.obs[key].sum()) for key in (_keys.MEASURED, _keys.HELD_OUT))
    n_genes = scores["gene"].nunique()
    if as_json:
        result = {"spots": measured, "held_out": held_out, "genes": n_genes}
        print_json(result | {"scores": means.to_dict("records"), "gains": compared})
        return
    typer.echo(f"Means over {n_genes} genes at {held_out} held-out spots ({measured} measured):\n\n{as_text(means)}")
    if compared:
        typer.echo("".join(f"\n{gain_as_text(gain)}" for gain in compared))
    if output is not None:
        typer.echo(f"\nWrote {output}")


def run_methods(
    section: "AnnData", methods: list[str], genes: list[str] | None, *, covariates: Any = None, **training: Any
) -> dict[str, float]:
    """Impute by each method; return the seconds that it took. Covariates are used by s2s and the stack."""
    from .. import tl

    seconds = {}
    for method in methods:
        start = time.perf_counter()
        if method == "s2s":
            tl.impute(section, genes, covariates=covariates, progress=on_a_terminal(), **training)
        else:
            known = covariates if method == "stack" else None
            tl.interpolate(section, cast("Method", method), genes=genes, covariates=known)
        seconds[method] = round(time.perf_counter() - start, 2)
    return seconds


def score(
    section: "AnnData",
    methods: list[str],
    genes: list[str] | None,
    seconds: dict[str, float],
    over: Iterable[str] = BASELINES,
) -> "tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]":
    """Score methods: for every gene; as means over genes, the best first; and against the methods `over`."""
    from .. import get, tl

    tl.evaluate(section, methods, genes=genes)
    scores = get.evaluation_df(section)
    means = scores.groupby("method", observed=True).mean(numeric_only=True)
    means = means.sort_values("pcc", ascending=False).reset_index()
    means["method"] = means["method"].astype(object)
    if seconds:
        means["seconds"] = means["method"].map(seconds)
    pcc = scores.pivot_table(index="gene", columns="method", values="pcc", observed=True).astype(float)
    method = "s2s" if "s2s" in methods else methods[0]
    gains = []
    for other in over:
        if other in methods and other != method:
            both = pcc[[method, other]].dropna()
            gain, mean = (both[method] - both[other]), both[other].mean()
            numbers = {"pcc": gain.mean(), "relative": gain.mean() / mean if mean > 0 else np.nan}
            better = {"better": int((gain > 0).sum()), "worse": int((gain < 0).sum())}
            gains.append({"method": method, "over": other} | numbers | better)
    return scores, means, gains


def top_genes(section: "AnnData", n: int) -> list[str]:
    """Return the most variable genes among those detected in a tenth of the measured spots, or among all if none is."""
    from .._checks import as_dense

    matrix: Any = section.X
    values = as_dense(matrix[section.obs[_keys.MEASURED].to_numpy()])
    detected = (values > 0).mean(axis=0) >= DETECTED
    detected |= not detected.any()
    order = np.argsort(-np.where(detected, values.var(axis=0, dtype=np.float64), -1), kind="stable")
    return [str(name) for name in section.var_names[order[: min(n, int(detected.sum()))]]]


def gain_as_text(gain: dict[str, Any]) -> str:
    """Return a line on the gain of one method over another."""
    percent = f" ({100 * gain['relative']:+.1f} %)" if np.isfinite(gain["relative"]) else ""
    genes = f"higher for {gain['better']} genes, lower for {gain['worse']}"
    return f"{gain['method']} against {gain['over']}: PCC {gain['pcc']:+.3f}{percent}; {genes}"


def as_text(means: "pd.DataFrame") -> str:
    """Return a table of mean scores with aligned columns."""
    return means.to_string(index=False, float_format="{:.3f}".format, formatters={"seconds": "{:.1f}".format})


def _split(names: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def _given(context: typer.Context) -> list[str]:
    """Return those options of `IMPUTING` that the user gave, as typed."""
    options = [option for option in context.command.params if option.name in IMPUTING]
    sources = {option.opts[0]: context.get_parameter_source(str(option.name)) for option in options}
    return [typed for typed, source in sources.items() if getattr(source, "name", "") == "COMMANDLINE"]
