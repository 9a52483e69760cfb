"""Arguments and options of more than one command."""

from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, BadParameter, Option


def one_of(*choices: str) -> dict[str, Any]:
    """Return settings of an option with closed choices, whose errors suggest the choice that was meant."""

    def parse(value: str) -> str:
        from .._checks import check_choice

        try:
            check_choice("it", value, choices)
        except ValueError as error:
            raise BadParameter(str(error)) from None
        return value

    return {"parser": parse, "metavar": f"<{'|'.join(choices)}>"}


Source = Annotated[
    Path,
    Argument(
        help="Section: .h5ad, .zarr (AnnData or SpatialData), 10x .h5 with its positions, or an output folder of Space "
        "Ranger or Xenium."
    ),
]
Positions = Annotated[
    Path | None, Option(help="Positions for a 10x matrix (tissue_positions.csv, or cells.parquet of Xenium).")
]
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
    str | None, Option(help="Only these genes: names separated by commas, or a file with one name per line.")
]
Preset = Annotated[
    Literal["default", "fast", "quick", "paper"],
    Option(
        help="fast: half of the training; quick: no network; paper: the published recipe, very slow.",
        **one_of("default", "fast", "quick", "paper"),
    ),
]
MaxEpochs = Annotated[int | None, Option(help="Maximum number of training epochs; 0: do not train the network.")]
Device = Annotated[str, Option(help="Device to train on: auto, cpu, cuda, cuda:1 or mps.")]
Seed = Annotated[int, Option(help="Random seed.")]
Image = Annotated[str | None, Option(help="Tissue image to use: auto (that of the section), or a file.")]
ImageScale = Annotated[float, Option(help="Pixels of the image file per unit of the coordinates.")]
Covariates = Annotated[str | None, Option(help="Covariates: keys of obsm or obs, separated by commas.")]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
