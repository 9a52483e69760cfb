import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _interpolation
from .._checks import check_adata, check_choice, check_genes
from .._interpolation import METHODS, Method
from .._progress import duration
from .._section import Values
from ._estimate import KRIGED_VALUE
from ._run import MAX_DISTANCE, check_copy, check_run_key, read_tasks, rows_of_sections, versions, write_run
from ._survey import Survey, gene_blocks

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["interpolate"]

log = logging.getLogger(__name__)

INFORMATIVE = 256
"""Most variable genes that principal components are made of."""


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
        mean of kriging and of kriged principal components of the most variable genes, projected back.
    genes
        Names of the genes to write, all by default; a gene gets the same values, whichever others are asked for.
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
    wanted = np.isin(np.arange(adata.n_vars), check_genes(adata, genes))
    key = check_run_key(adata, method if key_added is None else key_added)
    check_copy(adata, copy=copy)
    measured, tasks = read_tasks(adata, max_distance)
    values = Values(adata, measured, np.arange(adata.n_vars), layer=layer).by_gene()
    seen = rows_of_sections(measured, tasks)
    informative = values.read_some(Survey.of(values, seen, wanted).most_variable(INFORMATIVE))
    if measured.all():
        warnings.warn("every site is measured: there is nothing to interpolate", UserWarning, stacklevel=2)
    blocks, n_wanted = gene_blocks(wanted), sum(int(task.wanted.sum()) for task in tasks)
    seconds = KRIGED_VALUE * n_wanted * sum(block.stop - block.start for block in blocks)
    log.info("%s of %d genes at %d sites: about %s", method, int(wanted.sum()), n_wanted, duration(seconds))
    dense = np.full(adata.shape, np.nan, dtype=np.float32)
    for task, spots in zip(tasks, seen, strict=True):
        rows, lattice = task.placed.rows, task.placed.lattice
        sites = lattice.unit_coordinates / lattice.spot_pitch(task.measured)
        predict = _interpolation.interpolator(method, sites[task.measured], sites[task.wanted], informative[spots])
        for block in blocks:
            asked = np.flatnonzero(wanted[block])
            measured_values = values.read(block, finite=wanted[block])[spots]
            dense[np.ix_(rows[task.measured], block.start + asked)] = measured_values[:, asked]
            if task.wanted.any():
                dense[np.ix_(rows[task.wanted], block.start + asked)] = predict(measured_values)[:, asked]
    run: dict[str, Any] = {
        "params": {"method": method},
        "layer": layer or "X",
        "versions": versions("numpy", "scipy"),
    }
    return write_run(adata, key, dense, measured, run, copy=copy)
