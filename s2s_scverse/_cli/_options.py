"""Arguments and options of more than one command."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

Source = Annotated[
    Path,
    Argument(
        help="Section: .h5ad, .zarr (AnnData or SpatialData), 10x .h5 with its positions, or a folder of Space Ranger."
    ),
]
Positions = Annotated[Path | None, Option(help="Spot positions of a 10x matrix (tissue_positions.csv).")]
Table = Annotated[str, Option(help="Table of a SpatialData.")]
Layer = Annotated[str | None, Option(help="Layer to read instead of X.")]
SpatialKey = Annotated[str, Option(help="Key of the coordinates in obsm.")]
LibraryKey = Annotated[
    str | None,
    Option(help="Column of obs that names the section of each spot; default: the regions of a SpatialData."),
]
BinSize = Annotated[
    str | None, Option(help="For cells or beads: side of the bins in units of the coordinates, or 'auto'.")
]
Upsample = Annotated[int | None, Option(help="Distance between spots, in sites of the result; default: 2.")]
Normalise = Annotated[
    bool | None,
    Option(
        "--normalize/--as-is",
        "--normalise",
        help="Scale spots to their median total and take log1p; by default if values are whole numbers.",
        show_default=False,
    ),
]
Genes = Annotated[
    str | None, Option(help="Gene names separated by commas, or a file with one name per line; default: all.")
]
Preset = Annotated[
    Literal["default", "quick", "paper"],
    Option(help="quick: no network; paper: the published recipe, very slow."),
]
MaxEpochs = Annotated[int | None, Option(help="Maximum number of training epochs; 0: do not train the network.")]
Device = Annotated[str, Option(help="Device to train on: auto, cpu, cuda, cuda:1 or mps.")]
Seed = Annotated[int, Option(help="Random seed.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
