"""Lay sections out on their lattice and normalise them, as the options say."""

import logging
import warnings
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from .. import _keys

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger(__name__)

VALUES: Final = {
    "counts": "counts: they would be normalized",
    "normalized": "scaled counts without log1p; --normalize takes log1p, --as-is imputes them as they are",
    "log-normalized": "log-normalized counts: they would be imputed as they are",
    "logged twice": "counts to which log1p seems to have been applied twice; pass --layer with the counts",
    "negative": "negative in part, as after sc.pp.scale; pass --layer with counts or log-normalized counts",
    "other": "not counts: they would be imputed as they are",
}
"""Kinds of values, as `s2s info` shows them."""
SAMPLED: Final = 500  # number of spots that are examined for log1p that was applied twice


def lay_out(
    adata: "AnnData",
    *,
    upsample: int | None = None,
    bin_size: str | None,
    spatial_key: str,
    library_key: str | None,
    fill: Literal["tissue", "hull", "all"] | None = None,
    default_upsample: int = 2,
) -> "AnnData":
    """Lay a section out on its lattice; one that `pp.grid` has made stays as it is."""
    if has_lattice(adata):
        given = {"--upsample": upsample, "--fill": fill, "--bin-size": bin_size, "--library-key": library_key}
        useless = [name for name, value in given.items() if value is not None]
        refuse_useless(useless, "the section is on its lattice already")
        log.info("the section is on its lattice already")
        return adata
    from .. import pp

    try:
        side: Any = bin_size if bin_size in (None, "auto") else float(bin_size)
    except ValueError:
        msg = f"--bin-size must be a number or 'auto', found {bin_size!r}"
        raise ValueError(msg) from None
    dense = pp.grid(
        adata,
        upsample=default_upsample if upsample is None else upsample,
        bin_size=side,
        fill=fill or "tissue",
        spatial_key=spatial_key,
        library_key=library_key or _find_regions(adata),
    )
    measured = int(dense.obs[_keys.MEASURED].sum())
    log.info("%d spots and %d sites between them", measured, dense.n_obs - measured)
    return dense


def has_lattice(adata: "AnnData") -> bool:
    """Whether `pp.grid` has made the section."""
    return _keys.GRID in adata.uns.get(_keys.UNS, {})


def describe_values(adata: "AnnData") -> str:
    """Return what the measured values of X are, as a key of `VALUES`; held-out values are not read."""
    from .._adata import read_molecules
    from .._checks import are_counts, as_dense, check_numeric, stored_values
    from ..tl._impute import logged_twice

    check_numeric(adata.X, "X")
    measured = adata.obs[_keys.MEASURED].to_numpy()
    matrix: Any = adata.X
    values = matrix[measured]
    if not values.shape[0] or not np.isfinite(stored_values(values)).all():
        return "other"  # refused later
    if values.max() > 1 and are_counts(values):
        return "counts"
    if values.min() < 0:
        return "negative"
    if logged_twice(as_dense(values[:SAMPLED])):
        return "logged twice"
    molecules = read_molecules(adata, measured, layer=None)
    return "other" if molecules is None else "log-normalized" if molecules.logged else "normalized"


def normalise(adata: "AnnData", wanted: bool | None) -> bool:
    """Normalise if asked for or, by default, if values are counts; return whether that was done."""
    from .. import pp

    kind, told = describe_values(adata), wanted is not None
    wanted = kind == "counts" if wanted is None else wanted
    if wanted:
        pp.normalize(adata)
    elif kind in ("negative", "logged twice") or (kind == "normalized" and not told):
        warnings.warn(f"values are {VALUES[kind]}", UserWarning, stacklevel=2)
    return wanted


def find_covariates(adata: "AnnData", covariates: str | None, image: str | None, scale: float) -> list[str] | None:
    """Return the keys of covariates, among them the descriptors of an image, which are added."""
    from .. import pp

    known = [] if covariates is None else [name.strip() for name in covariates.split(",")]
    if image is not None:
        own = image == "auto"
        pp.image_features(adata, None if own else image, transform=None if own else scale)
        known.append(_keys.IMAGE_FEATURES)
    return known or None


def refuse_useless(options: list[str], why: str) -> None:
    """Refuse options that would change nothing."""
    if options:
        msg = f"{why}, so that {', '.join(options)} would change nothing; leave out"
        raise ValueError(msg)


def _find_regions(adata: "AnnData") -> str | None:
    """Return the column of regions of a SpatialData's table, if there are several."""
    attributes = adata.uns.get("spatialdata_attrs")
    if attributes is None or adata.obs[attributes["region_key"]].nunique() == 1:
        return None
    log.info("several regions, named by %r", attributes["region_key"])
    return str(attributes["region_key"])
