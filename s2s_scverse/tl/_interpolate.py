import warnings
from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from .. import _adata
from .._checks import check_adata, check_choice, check_genes, check_rng
from .._predict import GUIDED, METHODS, CrossValidation, Method, fit_section

INFORMATIVE = 256  # number of most variable genes that multi-gene methods are fitted to


def interpolate(
    adata: AnnData,
    method: Method,
    *,
    genes: str | Sequence[str] | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    max_distance: float | None = _adata.MAX_DISTANCE,
    total_counts: str | None = "auto",
    covariates: str | Sequence[str] | None = None,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> AnnData | None:
    """Interpolate genes at the unmeasured sites of a section.

    The methods are baselines and initial estimates of :func:`s2s_scverse.tl.impute`. They use distances on any lattice
    and measured spots only.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, which are processed separately.
    method
        ``"nearest"``
            Value of the nearest spot.
        ``"linear"``, ``"cubic"``
            Interpolation on triangles of spots; the nearest spot outside their hull.
        ``"idw"``
            Inverse distance weighting of the 8 nearest spots.
        ``"rbf"``
            Thin-plate spline.
        ``"kriging"``
            Ordinary kriging of each gene, with kernel, length scale and noise ratio chosen by leave-one-out.
        ``"pca_kriging"``
            Mean of ordinary kriging and of kriged principal components, projected back to genes.
        ``"coregionalization"``
            Linear model of coregionalization with full signal and noise covariances between genes.
        ``"state_kriging"``
            Gaussian process over the expected expression state of a site.
        ``"stack"``
            Non-negative cross-validated combination of kriging methods, the initial estimate of
            :func:`s2s_scverse.tl.impute`.

        The last four are fitted to the 256 most variable genes.
    genes
        Names of the genes to write, all by default. Values of a gene do not depend on this selection.
    layer
        Layer to read, X by default. Only rows of measured spots are read.
    key_added
        Name of the layer to write, and of the run in `.uns['s2s']`; by default the method's.
    max_distance
        Largest distance from the nearest spot, in units of the spot spacing. Sites beyond it remain NaN; None for no
        limit.
    total_counts
        Depth (library size) of the spots, as for :func:`s2s_scverse.tl.impute`; used by all kriging methods.
    covariates
        Keys of `.obsm` or numeric columns of `.obs` that are known at all sites, as for :func:`s2s_scverse.tl.impute`;
        used by ``"stack"`` and, as external drift, by ``"kriging"``, ``"pca_kriging"`` and ``"state_kriging"``.
    rng
        Seed or generator of the cross-validation folds of the stack.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy; `adata` is unchanged upon failure. Sets the following fields:

    `.layers[key_added]`
        float32 (n_obs, n_vars): interpolated values, and measured values at spots; NaN for genes that are not selected.
    `.obs[f'{key_added}_visible']`
        Sites that were measured; :func:`s2s_scverse.tl.evaluate` refuses to score them.
    `.uns['s2s'][key_added]`
        `params`, `layer` and `versions`.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or a gene or the layer does not exist.
    TypeError, ValueError
        If an argument or the values are invalid.

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
    key = method if key_added is None else key_added
    method = "pca_kriging" if str(method) == "cokriging" else method  # a former name
    check_choice("method", method, METHODS)
    written = np.isin(np.arange(adata.n_vars), check_genes(adata, genes))
    key = _adata.check_run_key(adata, key)
    _adata.check_copy(adata, copy=copy)
    if covariates is not None and method not in GUIDED:
        msg = f"covariates are used by the methods {', '.join(GUIDED)}, found method {method!r}"
        raise ValueError(msg)
    seed = int(check_rng(rng).integers(2**31))
    inputs = _adata.read_inputs(
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
        stacking = CrossValidation(section, method, seed=seed).stacking if method == "stack" else None
        predictor = fit_section(section, method, section.wanted, stacking)
        for block in _adata.gene_blocks(written):
            values = inputs.matrix.read(block)[rows]
            columns = np.arange(adata.n_vars)[block]
            dense[np.ix_(section.spots, columns)] = values
            if section.wanted.any():
                dense[np.ix_(section.rows[section.wanted], columns)] = predictor.maps(values)[0]
    names = ", ".join(_adata.covariate_names(covariates)) or "none"
    params = {"method": method, "depth": inputs.depth, "covariates": names}
    run = {"params": params, "layer": layer or "X", "versions": _adata.versions("numpy", "scipy")}
    return _adata.write_run(adata, key, dense, inputs.measured, run, copy=copy)
