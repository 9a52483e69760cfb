"""``s2s evaluate``: accuracy of imputation at held-out spots."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .. import _keys
from . import _options as options
from ._app import on_a_terminal, print_json
from ._layout import lay_out, normalise, refuse_useless
from ._read import read_genes, read_section
from ._write import check_output, replacing

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from .._predict import Method

__all__ = ["as_text", "evaluate", "mean_scores", "run_methods"]

IMPUTING = ("methods", "stride", "fraction", "preset", "max_epochs", "device", "seed", "normalised")
"""Parameters that --keys makes useless."""
SCORES = ("pcc", "spearman", "rmse", "mae", "ssim", "coverage")


def evaluate(
    context: typer.Context,
    source: options.Source,
    *,
    methods: Annotated[
        str, typer.Option(help="s2s and methods of s2s.tl.interpolate, separated by commas.")
    ] = "s2s,nearest,kriging,pca_kriging",
    keys: Annotated[
        str | None,
        typer.Option(help="Only score these layers of a section with held-out spots, without imputing anything."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Keep every n-th spot along both axes; default: every second.")
    ] = None,
    fraction: Annotated[float | None, typer.Option(help="Keep this random fraction of the spots instead.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file for the scores of every gene.")
    ] = None,
    genes: options.Genes = None,
    preset: options.Preset = "default",
    max_epochs: options.MaxEpochs = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    bin_size: options.BinSize = None,
    layer: options.Layer = None,
    normalised: options.Normalise = None,
    positions: options.Positions = None,
    table: options.Table = "table",
    spatial_key: options.SpatialKey = "spatial",
    library_key: options.LibraryKey = None,
    as_json: options.Json = False,
) -> None:
    """Hold out spots of a section, impute them, and score the result beside simple interpolation.

    Held-out spots take part neither in training nor in normalisation. Because the section is thinned first, the scores
    are for spots farther apart than yours: imputing between your own spots is easier.
    """
    from .. import get, pp, tl
    from .._predict import METHODS

    if output is not None:
        check_output(output, source=source)
    if stride is not None and fraction is not None:
        msg = "--stride and --fraction exclude each other; pass one of them"
        raise ValueError(msg)
    wanted = read_genes(genes)
    names = _split(methods) if keys is None else _split(keys)
    if keys is None:
        unknown = [name for name in names if name not in ("s2s", "cokriging", *METHODS)]
        if unknown or not names:
            msg = f"--methods must be some of s2s, {', '.join(METHODS)}, found {', '.join(unknown) or 'none'}"
            raise ValueError(msg)
    else:
        refuse_useless(_given(context), "layers of --keys are scored as they are")
    adata = read_section(source, positions=positions, table=table, layer=layer)
    section = lay_out(adata, bin_size=bin_size, spatial_key=spatial_key, library_key=library_key, default_upsample=1)
    seconds: dict[str, float] = {}
    if keys is None:
        pp.sparsify(section, stride=2 if stride is None else stride, fraction=fraction, rng=seed)
        normalise(section, normalised)
        seconds = run_methods(section, names, wanted, preset=preset, max_epochs=max_epochs, device=device, rng=seed)
    tl.evaluate(section, names, genes=wanted)
    scores = get.evaluation_df(section)
    if output is not None:
        with replacing(output) as temporary:
            scores.to_csv(temporary, index=False)
    means = mean_scores(scores, seconds)
    measured, held_out = (int(section.obs[key].sum()) for key in (_keys.MEASURED, _keys.HELD_OUT))
    n_genes = scores["gene"].nunique()
    if as_json:
        print_json({"spots": measured, "held_out": held_out, "genes": n_genes, "scores": means.to_dict("records")})
        return
    typer.echo(f"Means over {n_genes} genes at {held_out} held-out spots:\n\n{as_text(means)}")
    if output is not None:
        typer.echo(f"\nWrote {output}")


def run_methods(section: "AnnData", methods: list[str], genes: list[str] | None, **training: Any) -> dict[str, float]:
    """Impute by each method; return the seconds that it took."""
    from .. import tl

    seconds = {}
    for method in methods:
        start = time.perf_counter()
        if method == "s2s":
            tl.impute(section, genes, progress=on_a_terminal(), **training)
        else:
            tl.interpolate(section, cast("Method", method), genes=genes)
        seconds[method] = round(time.perf_counter() - start, 2)
    return seconds


def mean_scores(scores: "pd.DataFrame", seconds: dict[str, float]) -> "pd.DataFrame":
    """Return the means over genes, a row per method, the best first."""
    columns = [score for score in SCORES if score in scores]
    means = scores.groupby("method", observed=True)[columns].mean().sort_values("pcc", ascending=False).reset_index()
    means["method"] = means["method"].astype(object)
    return means.assign(seconds=means["method"].map(seconds)) if seconds else means


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
