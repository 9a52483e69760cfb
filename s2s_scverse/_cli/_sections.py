"""From a file to a section on its lattice, with values that can be imputed."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import _keys
from ._read import read_section

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "BinSize",
    "Layer",
    "Laying",
    "LibraryKey",
    "Normalise",
    "Positions",
    "Source",
    "SpatialKey",
    "Table",
    "has_lattice",
    "measured_counts",
    "normalise",
    "refuse_useless",
]

log = logging.getLogger(__name__)

Source = Annotated[
    Path,
    typer.Argument(
        help="Section: .h5ad, .zarr (AnnData or SpatialData), 10x .h5 with its positions, or Space Ranger's folder.",
        show_default=False,
    ),
]
Positions = Annotated[
    Path | None, typer.Option(help="Positions of the spots of a 10x .h5 (tissue_positions.csv).", show_default=False)
]
Table = Annotated[str, typer.Option(help="Table of a SpatialData.")]
Layer = Annotated[str | None, typer.Option(help="Layer to read instead of X.", show_default=False)]
BinSize = Annotated[
    str | None,
    typer.Option(
        help="Side of bins for cells or beads, in the units of the coordinates, or 'auto'.", show_default=False
    ),
]
SpatialKey = Annotated[str, typer.Option(help="Key of obsm with the coordinates.")]
LibraryKey = Annotated[
    str | None,
    typer.Option(help="Column of obs that tells several sections apart.", show_default="regions of a SpatialData"),
]
Normalise = Annotated[
    bool | None,
    typer.Option(
        "--normalise/--as-is",
        help="Scale spots to their median total and take log1p; by default only if values are whole numbers.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Laying:
    """How a section is read and laid on its lattice."""

    positions: Path | None
    table: str
    layer: str | None
    bin_size: str | None
    spatial_key: str
    library_key: str | None

    def read(self, path: Path) -> "AnnData":
        """Read it, with the layer asked for as X."""
        from .._checks import check_layer

        adata = read_section(path, positions=self.positions, table=self.table)
        if self.layer is not None:
            check_layer(adata, self.layer)
            adata.X = adata.layers[self.layer].copy()
        if adata.X is None:
            msg = f"{path} has no X; pass --layer"
            raise ValueError(msg)
        log.info("read %s: %d observations, %d genes", path, adata.n_obs, adata.n_vars)
        return adata

    def lay(
        self,
        adata: "AnnData",
        *,
        upsample: int | None = None,
        default: int = 2,
        fill: Literal["tissue", "hull", "all"] | None = None,
    ) -> "AnnData":
        """Lay it on its lattice, as the user asked; one that is on it already stays as it is."""
        size = _number(self.bin_size)
        if has_lattice(adata):
            given = {"--upsample": upsample, "--fill": fill, "--bin-size": size, "--library-key": self.library_key}
            useless = [name for name, value in given.items() if value is not None]
            refuse_useless(useless, "the section is on its lattice already")
            log.info("it is on its lattice already")
            return adata
        from .. import pp

        dense = pp.grid(
            adata,
            upsample=default if upsample is None else upsample,
            bin_size=size,
            fill=fill or "tissue",
            spatial_key=self.spatial_key,
            library_key=self.library_key or _regions(adata),
        )
        measured = int(dense.obs[_keys.MEASURED].sum())
        log.info("%d spots, and %d sites between them", measured, dense.n_obs - measured)
        return dense


def has_lattice(adata: "AnnData") -> bool:
    """Whether `pp.grid` has made it."""
    return _keys.GRID in adata.uns.get(_keys.UNS, {})


def measured_counts(adata: "AnnData") -> bool:
    """Whether measured values look like counts that nothing was done to; those that are held out have no say."""
    from .._checks import are_counts, check_numeric

    check_numeric(adata.X, "X")
    values: Any = adata.X[adata.obs[_keys.MEASURED].to_numpy()]
    _check_finite(values, "measured spots")
    return bool(values.shape[0] and values.max() > 1 and are_counts(values))


def normalise(adata: "AnnData", wanted: bool | None) -> bool:
    """Scale spots to the median total of measured ones and take log1p, if asked for or if values are counts."""
    from .. import pp

    counts = measured_counts(adata)
    if wanted is False or (wanted is None and not counts):
        return False
    _check_finite(adata.X, "held-out spots")
    measured = adata.obs[_keys.MEASURED].to_numpy()
    if measured.any() and adata.X[measured].min() < 0:
        msg = "--normalise needs counts, found negative values; pass --as-is to leave them as they are"
        raise ValueError(msg)
    pp.normalize(adata)
    return True


def _check_finite(values: Any, where: str) -> None:
    import numpy as np

    from .._checks import is_sparse

    bad = int((~np.isfinite(values.data if is_sparse(values) else values)).sum())
    if bad:
        msg = f"values at {where} are NaN or infinite ({bad} of them); set those, or drop their spots or genes"
        raise ValueError(msg)


def refuse_useless(options: "list[str]", where: str) -> None:
    """Refuse options that would change nothing."""
    if options:
        msg = f"{where}, where {', '.join(options)} would change nothing; leave out"
        raise ValueError(msg)


def _regions(adata: "AnnData") -> str | None:
    """Return the column that tells apart the regions of a SpatialData's table, if it has several."""
    attributes = adata.uns.get("spatialdata_attrs")
    if attributes is None or adata.obs[attributes["region_key"]].nunique() == 1:
        return None
    log.info("it has several regions, told apart by %r", attributes["region_key"])
    return str(attributes["region_key"])


def _number(bin_size: str | None) -> Any:
    if bin_size is None or bin_size == "auto":
        return bin_size
    try:
        return float(bin_size)
    except ValueError:
        msg = f"--bin-size must be a number or 'auto', found {bin_size!r}"
        raise ValueError(msg) from None
