import logging

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import _keys
from .._adata import read_measured, read_sections
from .._checks import check_adata, check_layer, check_positive
from .._lattice import SectionOnLattice
from ._spots import LINE_FRACTION, dead_lines, read_depth, read_detected

log = logging.getLogger(__name__)

FEWEST = 5  # number of neighbours below which a spot is not tested
NEIGHBOURS = 18  # number of spots that a spot is compared with: two rings of a hexagonal lattice
REACH = 3.5  # their largest distance, in pitches
REASONS = ["row", "column", "depth", "genes"]


def mask_artifacts(
    adata: AnnData,
    *,
    line_fraction: float = LINE_FRACTION,
    spot_fraction: float = 0.2,
    n_mads: float = 5.0,
    layer: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Mark technical failures as unmeasured, so that :func:`s2s_scverse.tl.impute` fills them.

    Marks rows and columns of the array (not of bins) with hardly any counts, such as clogged microfluidic channels, and
    single spots with far fewer counts or detected genes than their neighbours. Tissue without cells (lumina, necrosis,
    fat) can look similar: inspect the marked spots.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, which are processed separately.
    line_fraction
        Rows and columns are marked if their median depth is below this fraction of the median depth of the 5 rows (or
        columns) on either side, and 90 % of their spots are below five times this (unlike at the rim of the tissue).
    spot_fraction
        Spots are marked if their depth, or their number of detected genes, is below this fraction of the median of the
        18 spots around them, and more than `n_mads` deviations below it on a log scale.
    n_mads
        Number of median absolute deviations, scaled to the standard deviation of a normal distribution.
    layer
        Layer to read. By default the depth is read from ``layers["counts"]`` or X if they hold counts, else from
        ``obs["total_counts"]``, else recovered from normalised (and logged) values.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy. Sets the following fields:

    `.obs['s2s_measured']`
        Also False at the marked spots, whose values are not changed.
    `.obs['s2s_artifact']`
        Categorical reason: ``"row"``, ``"column"``, ``"depth"`` or ``"genes"``; missing for other spots. Reasons from
        an earlier call are kept.

    Values of held-out spots are not read.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or the layer does not exist.
    TypeError, ValueError
        If an argument is invalid, no spot is measured, or the depth is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> clogged = (dense.obs["array_row"] == 7).to_numpy()
    >>> dense.X = dense.X.multiply(np.where(clogged, 0.05, 1)[:, None]).tocsr().floor()
    >>> s2s.pp.mask_artifacts(dense)
    >>> set(dense.obs["s2s_artifact"][clogged].dropna())
    {'row'}
    """
    check_adata(adata)
    line = check_positive("line_fraction", line_fraction, below=1)
    spot = check_positive("spot_fraction", spot_fraction, below=1)
    n_mads = check_positive("n_mads", n_mads)
    check_layer(adata, layer)
    measured = read_measured(adata)
    reason = np.full(adata.n_obs, "", dtype=object)
    for section in read_sections(adata):
        if section.measured.any():
            reason[section.spots] = _reasons(adata, section, layer, line, spot, n_mads)
    marked = reason != ""
    adata = adata.copy() if copy else adata
    if _keys.ARTIFACT in adata.obs:
        reason = np.where(marked, reason, adata.obs[_keys.ARTIFACT].astype(object).fillna("").to_numpy())
    reasons = pd.Categorical([each or None for each in reason], categories=REASONS)
    adata.obs = adata.obs.assign(**{_keys.ARTIFACT: reasons, _keys.MEASURED: measured & ~marked})
    numbers = ", ".join(f"{int((reason[marked] == each).sum())} for their {each}" for each in REASONS)
    log.info("%d of %d spots marked as unmeasured: %s", marked.sum(), measured.sum(), numbers)
    return adata if copy else None


def _reasons(
    adata: AnnData, section: SectionOnLattice, layer: str | None, line: float, spot: float, n_mads: float
) -> NDArray[np.object_]:
    """Return the reason why each measured spot of a section is marked, (n_spots,); empty if it is not."""
    lattice, here = section.lattice.subset(section.measured), np.isin(np.arange(adata.n_obs), section.spots)
    depth, genes = read_depth(adata, here, layer=layer), read_detected(adata, here, layer=layer)
    if depth is None and genes is None:
        msg = "no depth can be read: found no (normalised) counts; pass layer= with counts, or set obs['total_counts']"
        raise ValueError(msg)
    reason = np.full(len(lattice), "", dtype=object)
    # Bins have no channels.
    if depth is not None and "bins" not in adata.uns[_keys.UNS][_keys.GRID]:
        for name, numbers in (("column", lattice.array[:, 1]), ("row", lattice.array[:, 0])):
            reason[np.isin(numbers, dead_lines(numbers, depth, line))] = name
    alive = np.flatnonzero(reason == "")
    for name, values in (("genes", genes), ("depth", depth)):
        if values is not None:
            outliers = _outliers(lattice.unit_coordinates[alive], values[alive], spot, n_mads)
            reason[alive[outliers]] = name
    return reason


def _outliers(
    at: NDArray[np.float64], values: NDArray[np.float64], fraction: float, n_mads: float
) -> NDArray[np.bool_]:
    """Return which spots have values far below those of their neighbours, (n_spots,)."""
    k = min(NEIGHBOURS + 1, len(at))
    if k <= FEWEST:
        return np.zeros(len(at), dtype=bool)
    level = np.log(np.maximum(values, 1e-9 * max(values.max(), 1e-9)))
    distance, near = (np.asarray(found)[:, 1:] for found in cKDTree(at).query(at, k=k))
    inside = distance <= REACH * np.median(distance[:, 0])
    around, enough = np.where(inside, level[near], np.nan), inside.sum(axis=1) >= FEWEST
    below = np.zeros(len(at))
    below[enough] = level[enough] - np.nanmedian(around[enough], axis=1)
    spread = 1.4826 * np.median(np.abs(below - np.median(below)))
    return np.asarray(below < min(-n_mads * spread, np.log(fraction)))
