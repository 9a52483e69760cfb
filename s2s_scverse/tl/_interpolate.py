import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._adata import (
    MAX_DISTANCE,
    check_copy,
    check_run_key,
    covariate_names,
    gene_blocks,
    read_inputs,
    versions,
    write_run,
)
from .._checks import check_adata, check_choice, check_genes, check_rng
from .._lattice import SectionOnLattice
from .._predict import GUIDED, METHODS, CrossValidation, Method, Predictor, StackingWeights, fit, section_noise_weights

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["interpolate"]

INFORMATIVE = 256
"""Most variable genes that methods of several genes learn from."""


def interpolate(
    adata: "AnnData",
    method: Method | Literal["cokriging"],
    *,
    genes: str | Sequence[str] | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    max_distance: float | None = MAX_DISTANCE,
    total_counts: str | None = "auto",
    covariates: str | Sequence[str] | None = None,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> "AnnData | None":
    """Interpolate genes at the unmeasured sites of a section by one method.

    These are the baselines and the initial estimates of :func:`s2s_scverse.tl.impute`. All use true distances on any
    lattice, and measured spots only.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, of which each is interpolated by itself.
    method
        ``"nearest"``: the nearest spot; ``"linear"``, ``"cubic"``: on triangles of spots, beyond them the nearest;
        ``"idw"``: inverse distance weighting of the 8 nearest spots; ``"rbf"``: thin-plate spline; ``"kriging"``:
        ordinary kriging of each gene, whose kernel, length scale and nugget are chosen by leave-one-out;
        ``"pca_kriging"``: the mean of kriging and of kriged principal components, projected back;
        ``"coregionalization"``: kriging with a full signal and a full noise covariance between genes;
        ``"state_kriging"``: a Gaussian process over the expected expression state of a site; ``"stack"``: their
        non-negative cross-validated combination, which :func:`s2s_scverse.tl.impute` starts from. The methods of
        several genes learn from the 256 most variable ones.
    genes
        Names of the genes to write, all by default; the values of a gene do not depend on this selection.
    layer
        Layer to read instead of X. Only rows of measured spots are ever read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`; by default the method's.
    max_distance
        How far from measured spots to extrapolate, in distances of neighbouring spots; unmeasured sites farther from
        every spot stay NaN. None: no limit.
    total_counts
        Depth (library size) of the spots, as for :func:`s2s_scverse.tl.impute`; used by all kriging methods.
    covariates
        Keys of `.obsm` or numeric columns of `.obs` that are known at all sites, as for :func:`s2s_scverse.tl.impute`;
        for the stack and, as external drift, for ``"kriging"``, ``"pca_kriging"`` and ``"state_kriging"``.
    rng
        Seed or generator of the cross-validation folds of the stack.
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
    check_choice("method", method, (*METHODS, "cokriging"))
    written = np.isin(np.arange(adata.n_vars), check_genes(adata, genes))
    key = check_run_key(adata, method if key_added is None else key_added)
    check_copy(adata, copy=copy)
    name: Method = "pca_kriging" if method == "cokriging" else method  # its former name
    if covariates is not None and name not in GUIDED:
        msg = f"covariates are used by the methods {', '.join(GUIDED)}, found method {method!r}"
        raise ValueError(msg)
    seed = int(check_rng(rng).integers(2**31))
    inputs = read_inputs(
        adata,
        written,
        layer=layer,
        max_distance=max_distance,
        total_counts=total_counts,
        denoise=False,
        n_informative=INFORMATIVE,
        covariates=covariates,
    )
    if inputs.measured.all():
        warnings.warn("every site is measured: there is nothing to interpolate", UserWarning, stacklevel=2)
    dense = np.full(adata.shape, np.nan, dtype=np.float32)
    for section, rows in zip(inputs.sections, inputs.rows, strict=True):
        predictor = _fitted(section, name, seed)
        for block in gene_blocks(written):
            values = inputs.matrix.read(block)[rows]
            columns = np.arange(adata.n_vars)[block]
            dense[np.ix_(section.spots, columns)] = values
            if section.wanted.any():
                dense[np.ix_(section.rows[section.wanted], columns)] = predictor.maps(values)[0]
    run: dict[str, Any] = {
        "params": {
            "method": method,
            "depth": inputs.depth,
            "covariates": ", ".join(covariate_names(covariates)) or "none",
        },
        "layer": layer or "X",
        "versions": versions("numpy", "scipy"),
    }
    return write_run(adata, key, dense, inputs.measured, run, copy=copy)


def _fitted(section: SectionOnLattice, method: Method, seed: int) -> Predictor:
    """Fit a method to the spots and the wanted sites of a section."""
    at, weights = section.positions(section.measured), section_noise_weights(section, section.measured)
    spots, wanted = at[section.measured], at[section.wanted]
    stacking: StackingWeights | None = None
    known = section.covariates
    both = None if known is None else (known[section.measured], known[section.wanted])
    if method == "stack":
        seen = None if both is None else both[0]
        folds = CrossValidation(method, spots, section.values, noise_weights=weights, covariates=seen, seed=seed)
        stacking = folds.stacking_weights(wanted)
    return fit(method, spots, wanted, section.values, noise_weights=weights, stacking=stacking, covariates=both)
