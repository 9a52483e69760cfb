"""``s2s impute``: from a file to a file."""

import logging
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Option

from .. import _keys
from . import _options as options
from ._app import on_a_terminal, print_json
from ._files import check_output, check_writable, read_genes, read_section, write_section
from ._layout import find_covariates, lay_out, normalise

log = logging.getLogger(__name__)


def impute(
    source: options.Source,
    *,
    output: Annotated[Path, Option("--output", "-o", help="File to write, .h5ad or .zarr.")],
    upsample: options.Upsample = None,
    genes: options.Genes = None,
    preset: options.Preset = "default",
    max_epochs: options.MaxEpochs = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    natural_images: Annotated[
        str, Option(help="Images to train on besides genes: auto, photographs, none, or a folder.")
    ] = "auto",
    image: options.Image = None,
    image_scale: options.ImageScale = 1.0,
    covariates: options.Covariates = None,
    uncertainty: Annotated[bool, Option(help="Estimate standard deviations and reliability.")] = True,
    denoise: Annotated[bool, Option(help="Also denoise measured spots.")] = False,
    dtype: Annotated[Literal["float32", "float16"], Option(help="Data type of the layers.")] = "float32",
    key_added: Annotated[str, Option(help="Name of the layer.")] = _keys.UNS,
    checkpoint: Annotated[
        Path | None, Option(help="File written after every epoch; training resumes from it if it exists.")
    ] = None,
    pretrained: Annotated[Path | None, Option(help="Checkpoint of another section with initial weights.")] = None,
    fill: Annotated[
        Literal["tissue", "hull", "all"] | None,
        Option(
            help="Where to add sites: inside the tissue, its convex hull, or its bounding box; default: tissue.",
            **options.one_of("tissue", "hull", "all"),
        ),
    ] = None,
    bin_size: options.BinSize = None,
    layer: options.Layer = None,
    normalised: options.Normalise = None,
    positions: options.Positions = None,
    table: options.Table = "table",
    spatial_key: options.SpatialKey = "spatial",
    library_key: options.LibraryKey = None,
    as_json: options.Json = False,
) -> None:
    """Impute all genes of a section at the sites between its spots.

    Reads a section, lays it out on its lattice (unless s2s.pp.grid has done so), normalizes counts, imputes, and writes
    an AnnData: normalized values in X, imputed values in the layer s2s, standard deviations in s2s_std, and the
    reliability of genes in var.
    """
    start = time.perf_counter()
    from .. import tl

    check_output(output, source=source, section=True)
    adata = read_section(source, positions=positions, table=table, layer=layer)
    names = read_genes(genes, adata)
    dense = lay_out(
        adata, upsample=upsample, fill=fill, bin_size=bin_size, spatial_key=spatial_key, library_key=library_key
    )
    check_writable(dense, output)
    was_counts = normalise(dense, normalised)
    tl.impute(
        dense,
        names,
        covariates=find_covariates(dense, covariates, image, image_scale),
        key_added=key_added,
        preset=preset,
        natural_images=None if natural_images == "none" else natural_images,
        max_epochs=max_epochs,
        uncertainty=uncertainty,
        denoise=denoise,
        dtype=dtype,
        device=device,
        rng=seed,
        checkpoint=checkpoint,
        pretrained=pretrained,
        progress=on_a_terminal(),
    )
    log.info("writing %s", output)
    write_section(dense, output)
    run = dense.uns[_keys.UNS][key_added]
    column = _keys.RELIABILITY.format(key_added)
    result = {
        "output": str(output),
        "layer": key_added,
        "spots": int(dense.obs[_keys.MEASURED].sum()),
        "sites": dense.n_obs,
        "genes": dense.n_vars if names is None else len(names),
        "normalised": was_counts,
        "epochs": len(run["history"]),
        "shrinkage": float(run["shrinkage"]),
        "mean_reliability": float(dense.var[column].mean()) if column in dense.var else None,
        "seconds": round(time.perf_counter() - start, 1),
    }
    if as_json:
        print_json(result)
        return
    between = f"{dense.n_obs - result['spots']} sites between {result['spots']} spots"
    typer.echo(f"Imputed {result['genes']} genes at {between} in {result['seconds']:.0f} s.")
    if column in dense.var:
        low, mean, high = dense.var[column].quantile(0.1), result["mean_reliability"], dense.var[column].quantile(0.9)
        typer.echo(
            f"Expected correlation of imputed and measured values: {mean:.2f} (80 % of genes: {low:.2f} to {high:.2f})."
        )
    typer.echo(f"Wrote {output} (layer {key_added!r})")
