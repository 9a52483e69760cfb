"""``s2s evaluate``: how well imputation does on spots that are hidden from it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .. import _keys
from ._app import Json, on_a_terminal, print_json, reported
from ._impute import Device, Genes, MaxEpochs, Preset, PresetOption, Seed, read_genes
from ._sections import (
    BinSize,
    Layer,
    Laying,
    LibraryKey,
    Normalise,
    Positions,
    Source,
    SpatialKey,
    Table,
    normalise,
    refuse_useless,
)
from ._write import check_file, replacing

if TYPE_CHECKING:
    from anndata import AnnData

    from .._predict import Method

__all__ = ["evaluate"]

IMPUTING = ("methods", "stride", "fraction", "preset", "max_epochs", "device", "seed", "normalised")
"""Options of hiding and imputing."""
SCORES = ("pcc", "spearman", "rmse", "mae", "ssim", "coverage")


def evaluate(
    context: typer.Context,
    source: Source,
    *,
    methods: Annotated[
        str, typer.Option(help="s2s, and any of nearest, linear, cubic, idw, rbf, kriging, cokriging.")
    ] = "s2s,nearest,kriging,cokriging",
    keys: Annotated[
        str | None,
        typer.Option(
            help="Only score these layers of a section with held-out spots; nothing is hidden, imputed or normalised.",
            show_default=False,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Keep every so-manieth spot along both axes; default: every second.", show_default=False),
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Keep this random fraction of the spots instead.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file for the scores of every gene.", show_default=False)
    ] = None,
    genes: Genes = None,
    preset: PresetOption = Preset.default,
    max_epochs: MaxEpochs = None,
    device: Device = "auto",
    seed: Seed = 0,
    bin_size: BinSize = None,
    layer: Layer = None,
    normalised: Normalise = None,
    positions: Positions = None,
    table: Table = "table",
    spatial_key: SpatialKey = "spatial",
    library_key: LibraryKey = None,
    as_json: Json = False,
) -> None:
    """Hide spots of a section, impute them, and score that beside simple interpolation.

    What was hidden is neither trained on nor normalised with. The section is first thinned, so that these scores are
    for spots farther apart than yours: imputing between your own spots is easier than that.
    """
    with reported():
        from .. import get, pp, tl

        if output is not None:
            check_file(output, source=source)
        if stride is not None and fraction is not None:
            msg = "--stride and --fraction exclude each other; pass one of them"
            raise ValueError(msg)
        wanted = read_genes(genes)
        laying = Laying(positions, table, layer, bin_size, spatial_key, library_key)
        section = laying.lay(laying.read(source), default=1)
        seconds: dict[str, float] = {}
        if keys is not None:
            refuse_useless(_given(context, *IMPUTING), "layers of --keys are scored as they are")
            names = [name.strip() for name in keys.split(",") if name.strip()]
        else:
            names = _check_methods(methods)
            pp.sparsify(section, stride=2 if stride is None else stride, fraction=fraction, rng=seed)
            normalise(section, normalised)
            for method in names:
                start = time.perf_counter()
                _run(section, method, wanted, preset=preset.value, max_epochs=max_epochs, device=device, rng=seed)
                seconds[method] = round(time.perf_counter() - start, 2)
        tl.evaluate(section, names, genes=wanted)
        scores = get.evaluation_df(section)
        if output is not None:
            with replacing(output) as temporary:
                scores.to_csv(temporary, index=False)
    means = scores.groupby("method", sort=False, observed=True)[[score for score in SCORES if score in scores]].mean()
    held_out = int(section.obs[_keys.HELD_OUT].sum())
    if as_json:
        rows = [{"method": name, **row.to_dict(), "seconds": seconds.get(str(name))} for name, row in means.iterrows()]
        measured = int(section.obs[_keys.MEASURED].sum())
        print_json({"spots": measured, "held_out": held_out, "genes": scores["gene"].nunique(), "scores": rows})
        return
    typer.echo(f"Means over {scores['gene'].nunique()} genes at {held_out} held-out spots:\n")
    typer.echo(f"{'method':<12}" + "".join(f"{str(name).upper():>10}" for name in means) + f"{'seconds':>10}")
    for name, row in means.sort_values("pcc", ascending=False).iterrows():
        last = f"{seconds[str(name)]:>10.1f}" if str(name) in seconds else ""
        typer.echo(f"{name:<12}" + "".join(f"{value:>10.3f}" for value in row) + last)
    if output is not None:
        typer.echo(f"\nWrote {output}")


def _run(section: "AnnData", method: str, genes: list[str] | None, **options: Any) -> None:
    from .. import tl

    if method == "s2s":
        tl.impute(section, genes, progress=on_a_terminal(), **options)
    else:
        tl.interpolate(section, cast("Method", method), genes=genes)


def _given(context: typer.Context, *names: str) -> list[str]:
    """Return those options that the user gave, as typed."""
    found = [name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    options = {each.name: each.opts[0] for each in context.command.params}
    return [options[name] for name in found]


def _check_methods(methods: str) -> list[str]:
    from .._predict import METHODS

    names = [name.strip() for name in methods.split(",") if name.strip()]
    unknown = [name for name in names if name not in ("s2s", *METHODS)]
    if unknown or not names:
        msg = f"--methods must be some of s2s, {', '.join(METHODS)}, found {methods!r}"
        raise ValueError(msg)
    return list(dict.fromkeys(names))
