import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _interpolation
from .._checks import check_adata, check_choice, check_genes
from .._interpolation import METHODS, Method
from .._progress import duration
from .._section import read_values
from ._estimate import KRIGED_VALUE
from ._run import MAX_DISTANCE, check_copy, check_run_key, read_tasks, versions, write_run

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["interpolate"]

log = logging.getLogger(__name__)


def interpolate(
    adata: "AnnData",
    method: Method,
    *,
    genes: str | Sequence[str] | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    max_distance: float | None = MAX_DISTANCE,
    copy: bool = False,
) -> "AnnData | None":
    """Interpolate genes at the unmeasured sites of a section by a classical method.

    These are the answers that :func:`s2s_scverse.tl.impute` has to beat. All use true distances (on any lattice) and
    measured spots only: nothing outside the tissue enters.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, of which each is interpolated by itself.
    method
        ``"nearest"``: the nearest spot; ``"linear"``, ``"cubic"``: on triangles of spots, beyond them the nearest;
        ``"idw"``: inverse distance weighting of the 8 nearest spots; ``"rbf"``: thin-plate spline; ``"kriging"``: a
        Gaussian process per gene, whose kernel, length and nugget are chosen by leave-one-out; ``"cokriging"``: the
        mean of kriging and of principal components kriged in the genes' place. With ``"cokriging"`` genes help each
        other: interpolate a panel in one call.
    genes
        Names of the genes to interpolate, all by default.
    layer
        Layer to read instead of X. Only rows of measured spots are ever read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`; by default the method's.
    max_distance
        How far from measured spots to extrapolate, in distances of neighbouring spots; unmeasured sites farther from
        every spot stay NaN. None: no limit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    `None`, or the copy. On any failure or interruption `adata` stays as it was. Sets the following fields:

    `.layers[key_added]`
        float32, (n_obs, n_vars): interpolated values on the scale of the input. Measured spots keep theirs exactly; NaN
        for genes not asked for.
    `.obs[f'{key_added}_visible']`
        Which sites were measured when this ran: :func:`s2s_scverse.tl.evaluate` refuses to score them.
    `.uns['s2s'][key_added]`
        `params`, `layer` and `versions`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene or the layer does not exist.
    TypeError, ValueError
        If an argument or the values are not as described.

    Warns
    -----
    UserWarning
        If there are no unmeasured sites, or some are too far from all spots.

    Examples
    --------
    >>> import s2s_scverse as s2s, scanpy as sc
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.tl.interpolate(dense, "kriging")
    >>> dense.layers["kriging"].shape == dense.shape
    True
    """
    check_adata(adata)
    check_choice("method", method, METHODS)
    columns = check_genes(adata, genes)
    key = check_run_key(adata, method if key_added is None else key_added)
    check_copy(adata, copy=copy)
    measured, tasks = read_tasks(adata, max_distance)
    dense = np.full(adata.shape, np.nan, dtype=np.float32)
    if measured.all():
        warnings.warn("every site is measured: there is nothing to interpolate", UserWarning, stacklevel=2)
    for task in tasks:
        seen = read_values(adata, task.here, columns, layer=layer)[task.order]
        rows, lattice = task.placed.rows, task.placed.lattice
        sites = lattice.unit_coordinates / lattice.spot_pitch(task.measured)
        if task.wanted.any():
            wanted = int(task.wanted.sum())
            seconds = KRIGED_VALUE * wanted * len(columns)
            log.info("%s of %d genes at %d sites: about %s", method, len(columns), wanted, duration(seconds))
            found = _interpolation.interpolate(method, sites[task.measured], seen, sites[task.wanted])
            dense[np.ix_(rows[task.wanted], columns)] = found
        dense[np.ix_(rows[task.measured], columns)] = seen
    run: dict[str, Any] = {
        "params": {"method": method},
        "layer": layer or "X",
        "versions": versions("numpy", "scipy"),
    }
    return write_run(adata, key, dense, measured, run, copy=copy)
