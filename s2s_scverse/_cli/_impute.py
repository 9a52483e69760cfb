"""``s2s impute``: from a file to a file."""

import logging
import time
from enum import StrEnum
from os.path import isfile
from pathlib import Path
from typing import Annotated

import typer

from .. import _keys
from ._app import Json, on_a_terminal, print_json, reported
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
)
from ._write import check_output, check_writable, write_section

__all__ = ["Device", "Genes", "MaxEpochs", "Preset", "PresetOption", "Seed", "Upsample", "impute", "read_genes"]

log = logging.getLogger(__name__)


class Preset(StrEnum):
    """Recipes of `s2s.tl.impute`."""

    default = "default"
    fast = "fast"
    paper = "paper"


class Fill(StrEnum):
    """Where sites are added."""

    tissue = "tissue"
    hull = "hull"
    all = "all"


class DType(StrEnum):
    """Of layers."""

    float32 = "float32"
    float16 = "float16"


Genes = Annotated[
    str | None,
    typer.Option(
        help="Names of genes with commas between, or a file with one name a line; default: all.", show_default=False
    ),
]
PresetOption = Annotated[Preset, typer.Option(help="How thoroughly to train.")]
MaxEpochs = Annotated[
    int | None, typer.Option(help="Most passes to train for; 0: the starting map alone.", show_default=False)
]
Upsample = Annotated[
    int | None, typer.Option(help="Spacing of the spots in sites of the result; default: 2.", show_default=False)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Seed = Annotated[int, typer.Option(help="Of training (and of spots drawn to be hidden).")]


def impute(
    source: Source,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write, .h5ad or .zarr; it is never half written.", show_default=False
        ),
    ],
    upsample: Upsample = None,
    genes: Genes = None,
    preset: PresetOption = Preset.default,
    max_epochs: MaxEpochs = None,
    device: Device = "auto",
    seed: Seed = 0,
    natural_images: Annotated[
        str, typer.Option(help="photographs, textures, none, or a folder of pictures.")
    ] = "photographs",
    uncertainty: Annotated[bool, typer.Option(help="Estimate standard deviations and reliability.")] = True,
    denoise: Annotated[bool, typer.Option(help="Denoise measured spots, too.")] = False,
    dtype: Annotated[DType, typer.Option(help="Of the layers.")] = DType.float32,
    key_added: Annotated[str, typer.Option(help="Name of the layer.")] = _keys.UNS,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to write after every epoch, and to go on from.", show_default=False)
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Checkpoint of another section to start from.", show_default=False)
    ] = None,
    fill: Annotated[Fill | None, typer.Option(help="Where to add sites; default: tissue.", show_default=False)] = None,
    bin_size: BinSize = None,
    layer: Layer = None,
    normalised: Normalise = None,
    positions: Positions = None,
    table: Table = "table",
    spatial_key: SpatialKey = "spatial",
    library_key: LibraryKey = None,
    as_json: Json = False,
) -> None:
    """Impute all genes of a section at the sites between its spots.

    Reads a section, lays it on its lattice (unless s2s.pp.grid has done so), scales and log-transforms counts, trains,
    and writes an AnnData with the layers that s2s.tl.impute documents; its X holds the values that were imputed from.
    """
    start = time.perf_counter()
    with reported():
        from .. import tl

        target, names = check_output(output, source=source), read_genes(genes)
        laying = Laying(positions, table, layer, bin_size, spatial_key, library_key)
        dense = laying.lay(laying.read(source), upsample=upsample, fill=None if fill is None else fill.value)
        check_writable(dense, target)
        was_counts = normalise(dense, normalised)
        tl.impute(
            dense,
            names,
            key_added=key_added,
            preset=preset.value,
            natural_images=None if natural_images == "none" else natural_images,
            max_epochs=max_epochs,
            uncertainty=uncertainty,
            denoise=denoise,
            dtype=dtype.value,
            device=device,
            rng=seed,
            checkpoint=checkpoint,
            pretrained=pretrained,
            progress=on_a_terminal(),
        )
        log.info("writing %s", target)
        write_section(dense, target)
    seconds = time.perf_counter() - start
    run = dense.uns[_keys.UNS][key_added]
    imputed = dense.n_vars if names is None else len(names)
    measured = int(dense.obs[_keys.MEASURED].sum())
    column = _keys.RELIABILITY.format(key_added)
    reliability = float(dense.var[column].mean()) if column in dense.var else None
    if as_json:
        print_json(
            {
                "output": str(target),
                "layer": key_added,
                "spots": measured,
                "sites": dense.n_obs,
                "genes": imputed,
                "normalised": was_counts,
                "epochs": len(run["history"]),
                "gate": float(run["gate"]),
                "mean_reliability": reliability,
                "seconds": round(seconds, 1),
            }
        )
        return
    between = f"{dense.n_obs - measured} sites between {measured} spots"
    typer.echo(f"Imputed {imputed} genes at {between} in {seconds:.0f} s.")
    if reliability is not None:
        typer.echo(f"Expected correlation with what would be measured there: {reliability:.2f}, mean over genes.")
    typer.echo(f"Wrote {target} (layer {key_added!r})")


def read_genes(genes: str | None) -> list[str] | None:
    """Return names of genes, from a file if there is one of that name."""
    if genes is None:
        return None
    try:
        # Not Path.is_file, which fails for lists that are too long to be a file's name.
        names = Path(genes).read_text("utf-8-sig").split("\n") if isfile(genes) else genes.split(",")  # noqa: PTH113
    except UnicodeDecodeError as error:
        msg = f"--genes must be names or a text file with one name a line, found a file of another kind: {genes}"
        raise ValueError(msg) from error
    found = [name.strip() for name in names if name.strip()]
    if not found:
        msg = f"--genes names no gene, found {genes!r}"
        raise ValueError(msg)
    return found
