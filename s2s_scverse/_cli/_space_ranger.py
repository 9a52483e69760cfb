"""Folders that Space Ranger writes: matrices, positions of spots, images."""

import gzip
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "MATRICES", "POSITIONS", "check_positions", "load_image", "load_positions", "match_barcodes"]
__all__ += ["find_matrix", "find_positions", "refuse_others"]

log = logging.getLogger(__name__)

POSITIONS: Final = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
COLUMNS: Final = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
"""Of Space Ranger's positions."""
MATRICES: Final = tuple(f"{kind}_feature_bc_matrix{end}" for kind in ("filtered", "raw") for end in (".h5", ""))
SUFFIX: Final = r"-\d+$"
"""Of a barcode: the sample it is from."""


def find_matrix(folder: Path) -> Path | None:
    """Return the matrix in a folder of Space Ranger's, which may be a folder itself, and the one given."""
    if any((folder / name).is_file() for name in ("matrix.mtx", "matrix.mtx.gz")):
        return folder
    return next((folder / name for name in MATRICES if (folder / name).exists()), None)


def refuse_others(folder: Path) -> None:
    """Name what can be read instead: folders further down (samples, sizes of Visium HD's bins), renamed matrices.

    Raises
    ------
    ValueError
        If there are any.
    """
    from .._checks import few

    levels = ("*", "*/*", "*/*/*")
    inside = sorted({found.parent for level in levels for name in MATRICES for found in folder.glob(f"{level}/{name}")})
    inside += sorted(folder.glob(f"*_{MATRICES[0]}"))
    if not inside:
        return
    msg = f"{folder} holds Space Ranger's output under other names or further down; pass one of: {few(inside, 12)}"
    if any(found.name.startswith("square_") for found in inside):
        msg += " (of Visium HD square_008um or square_016um, with --upsample 1: smaller bins hold too few counts)"
    raise ValueError(msg)


def find_positions(folder: Path) -> Path:
    """Return the positions in a folder or in ``spatial`` inside.

    Raises
    ------
    FileNotFoundError
        If there are none, or only under other names.
    """
    from .._checks import few

    folders = (folder, folder / "spatial")
    found = next((path for each in folders for path in (each / name for name in POSITIONS) if path.is_file()), None)
    if found is None:
        msg = f"no positions of spots ({', '.join(POSITIONS)}) in {folders[0]} and {folders[1]}; pass --positions FILE"
        others = sorted(path for each in folders for path in each.glob("*tissue_positions*"))
        raise FileNotFoundError(msg + (f", for example {few(others)}" if others else ""))
    return found


def load_positions(path: Path) -> "pd.DataFrame":
    """Read a table of positions, with barcodes as text; old files have no header, edited ones any case or separator."""
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        table = table if COLUMNS[0] in table.columns.str.lower() else table.reset_index()
        table = table.rename(columns=str.lower)
    else:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
        separator = max(",;\t", key=first.count)
        names = [name.strip().strip('"').lower() for name in first.split(separator)]
        named = not any(name.isdigit() for name in names)
        if not named and len(names) == len(COLUMNS):
            names = list(COLUMNS)
        table = pd.read_csv(
            path,
            sep=separator,
            header=0 if named else None,
            names=names,
            index_col=False,
            encoding="utf-8-sig",
            dtype={COLUMNS[0]: str, names[0]: str},
        )
    if COLUMNS[0] not in table.columns:  # pandas writes no name for an index, and "index" for one without a name
        table = table.rename(columns={table.columns[0]: COLUMNS[0]})
    return table.assign(barcode=table[COLUMNS[0]].astype(str))


def check_positions(table: "pd.DataFrame", path: Path) -> "pd.DataFrame":
    """Return positions as numbers, (n_spots, 5) by barcode.

    Raises
    ------
    ValueError
        If columns are missing, hold no numbers, or barcodes are repeated.
    """
    import pandas as pd

    if not set(COLUMNS) <= set(table.columns):
        msg = f"{path} must have the columns {', '.join(COLUMNS)}, found {', '.join(map(str, table.columns))}"
        raise ValueError(msg)
    numbers: pd.DataFrame = table[list(COLUMNS[1:])].apply(pd.to_numeric, errors="coerce")
    bad = numbers.isna().any(axis=1)
    if bad.any():
        msg = f"{path} must hold a number in each of {', '.join(COLUMNS[1:])}, and does not for {int(bad.sum())} spots"
        raise ValueError(msg)
    repeated = table[COLUMNS[0]][table[COLUMNS[0]].duplicated()]
    if len(repeated):
        msg = f"{path} holds barcodes more than once, for example {repeated.iloc[0]}; expected one line a spot"
        raise ValueError(msg)
    numbers.index = pd.Index(table[COLUMNS[0]])
    return numbers


def match_barcodes(barcodes: "pd.Index", table: "pd.DataFrame", matrix: Path, where: Path) -> "pd.DataFrame":
    """Return the positions of a matrix's spots, in their order; barcodes may differ in what follows the last ``-``.

    Raises
    ------
    ValueError
        If positions are missing, or no spot lies in the tissue.
    """
    from .._checks import few

    missing = barcodes[~barcodes.isin(table.index)]
    if len(missing):
        bare, known = (names.astype(str).str.replace(SUFFIX, "", regex=True) for names in (barcodes, table.index))
        if not (bare.is_unique and known.is_unique and bare.isin(known).all()):
            msg = (
                f"{len(missing)} of {len(barcodes)} spots of {matrix} are not in {where}; is it of another sample? "
                f"Not found: {few(missing, 3)}; barcodes there look like {few(table.index[:3]) or 'nothing'}"
            )
            if not bare.is_unique:
                msg += "; the matrix holds several samples, which differ in what follows '-': pass one sample's"
            raise ValueError(msg)
        log.info("barcodes such as %s and %s are matched without what follows '-'", barcodes[0], table.index[0])
        table, barcodes = table.set_axis(known), bare
    table = table.loc[barcodes]
    outside = int((table[COLUMNS[1]] != 1).sum())
    told = f"{outside} of {len(table)} spots of {matrix} lie outside the tissue (in_tissue in {where} is not 1)"
    if outside == len(table):
        msg = f"{told}; expected spots with in_tissue 1"
        raise ValueError(msg)
    if outside and matrix.name.startswith("filtered"):
        warnings.warn(f"{told}; they are left out; is the file of another sample?", stacklevel=2)
    elif outside:
        log.info("%s and are left out", told)
    return table


def load_image(folder: Path) -> dict[str, Any]:
    """Read the images of the tissue and their scale factors, as an entry of scanpy's ``uns["spatial"]``."""
    import numpy as np
    from PIL import Image

    scales = folder / "scalefactors_json.json"
    if not scales.is_file():
        return {}
    images = {}
    for kind in ("hires", "lowres"):
        path = folder / f"tissue_{kind}_image.png"
        if path.is_file():
            with Image.open(path) as image:
                images[kind] = np.asarray(image)
    return {"images": images, "scalefactors": json.loads(scales.read_text()), "metadata": {}}
