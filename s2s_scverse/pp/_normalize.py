import logging
import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import find_matrix, own, read_mask
from .._checks import (
    are_counts,
    check_adata,
    check_bool,
    check_finite,
    check_positive,
    in_memory,
    is_sparse,
    stored_values,
)

log = logging.getLogger(__name__)


def normalize(
    adata: AnnData,
    *,
    target_sum: float | None = None,
    layer: str | None = None,
    log1p: bool = True,
    copy: bool = False,
) -> AnnData | None:
    """Normalize counts per spot, and log-transform them.

    Equivalent to :func:`scanpy.pp.normalize_total` and :func:`scanpy.pp.log1p`, except that the default `target_sum` is
    the median over measured spots. After :func:`s2s_scverse.pp.grid` most rows can be unmeasured sites, which are 0;
    the median over all rows (scanpy up to 1.11) is then 0 too.

    Parameters
    ----------
    adata
        A section with counts, before or after :func:`s2s_scverse.pp.grid` (after, if it is binned).
    target_sum
        Total of every spot after scaling. By default the median total of the measured spots that have counts.
    layer
        Layer to normalize, X by default.
    log1p
        Whether to take ``log(1 + x)`` of the scaled values.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy. Sets the following fields:

    `.X` or `.layers[layer]`
        Normalized values of measured and held-out spots, in memory. Rows without counts remain 0.
    `.uns['log1p']`
        As set by :func:`scanpy.pp.log1p`, if `log1p`.

    Raises
    ------
    KeyError
        If the layer does not exist.
    TypeError, ValueError
        If an argument is invalid, values are NaN, infinite or (at measured spots) negative, no measured spot has
        counts, or `adata` is backed by a file.

    Warns
    -----
    UserWarning
        If values are not whole numbers.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> cells = s2s.datasets.simulated_tissue(lattice="cells", n_rows=20, n_cols=20, n_genes=6)
    >>> bins = s2s.pp.grid(cells, bin_size=100, upsample=2)
    >>> s2s.pp.normalize(bins)
    >>> s2s.tl.interpolate(bins, "kriging")
    """
    check_adata(adata)
    check_bool("log1p", log1p)
    check_bool("copy", copy)
    target = None if target_sum is None else check_positive("target_sum", target_sum)
    if adata.isbacked:
        msg = "pp.normalize needs a section in memory, found one backed by a file; call adata = adata.to_memory() first"
        raise ValueError(msg)
    stored, what = find_matrix(adata, layer)
    matrix = in_memory(stored)
    check_finite(matrix, what)
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    median = _median_total(adata, matrix, totals, what)
    target = median if target is None else target
    scaled = matrix.astype(matrix.dtype if matrix.dtype.kind == "f" else np.float32)
    values, divisor = stored_values(scaled), np.where(totals == 0, 1, totals / target).astype(scaled.dtype)
    values /= divisor[scaled.tocoo().row] if is_sparse(scaled) else divisor[:, None]
    if log1p:
        # Negative values of held-out spots become NaN, which tl.evaluate reports.
        with np.errstate(invalid="ignore", divide="ignore"):
            np.log1p(values, out=values)
    adata = own(adata, copy=copy, stacklevel=3)
    if layer is None:
        adata.X = scaled
    else:
        adata.layers[layer] = scaled
    if log1p:
        adata.uns["log1p"] = {"base": None}
    log.info("scaled every spot to %g counts%s", target, ", and took log1p" if log1p else "")
    return adata if copy else None


def _median_total(adata: AnnData, matrix: Any, totals: NDArray[np.float64], what: str) -> float:
    """Return the median total of measured spots with counts; refuse negative values, warn of fractions."""
    measured = read_mask(adata, _keys.MEASURED) if _keys.MEASURED in adata.obs else np.ones(adata.n_obs, dtype=bool)
    seen = matrix[measured]
    if seen.shape[0] and seen.min() < 0:
        msg = f"{what} has negative values at measured spots; pp.normalize needs counts: pass the layer that has them"
        raise ValueError(msg)
    if not are_counts(seen):
        msg = f"{what} has values that are not whole numbers, perhaps normalized already; pass the layer with counts"
        warnings.warn(msg, UserWarning, stacklevel=3)
    if not totals[measured].any():
        n = int(measured.sum())
        msg = f"{what} is 0 at all {n} measured spots, so there is nothing to scale; pass the layer with counts"
        raise ValueError(msg)
    return float(np.median(totals[measured & (totals > 0)]))
