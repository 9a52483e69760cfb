from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .. import _keys
from .._adata import GENE_BLOCK, read_inputs_of_run, read_molecules, read_values
from .._calibration import FEWEST
from .._checks import check_adata, check_bool, check_int, check_rng
from .._lattice import SectionOnLattice
from .._predict import Kriging, PCAKriging, section_noise_weights
from .._uncertainty import Counting, ErrorModel, GeneErrors, Marginals
from ._dense import read_dense
from ._tables import NO_STD

Floats = NDArray[np.float32]
COMPONENTS, SPOTS_PER_COMPONENT = (25, 50), 16
"""Bounds of the number of components that are simulated, and spots for each. Fewer made errors of regions too small on
sections of 900 spots, more made them too large on sections of 200."""
LEAST = 0.1  # smallest share of the variance of an error that is not due to counting
NEIGHBOURS = 4  # number of nearest spots from whose depth that of an unmeasured site differs at random


def draws(
    adata: AnnData,
    n: int,
    *,
    genes: str | Sequence[str] | None = None,
    key: str = _keys.UNS,
    noise: bool = True,
    rng: int | np.random.Generator | None = 0,
) -> Iterator[AnnData]:
    """Return conditional draws of an imputed section: sections that could have been measured, given the spots.

    Imputed values are means, and maps of means are smoother than tissue: Moran's I, variances, or the area above a
    threshold are biased on them. A draw adds errors with the estimated variances and correlations between sites and
    between genes. The mean of a statistic over draws is therefore an estimate without this bias, and its spread is the
    uncertainty. :func:`s2s_scverse.tl.propagate` applies a statistic to draws.

    Parameters
    ----------
    adata
        A section that :func:`s2s_scverse.tl.impute` was run on with ``uncertainty=True``. Not changed.
    n
        Number of draws.
    genes
        Genes to draw, in this order; by default all that were imputed. The draws of a gene do not depend on the other
        genes, up to rounding. Memory is about 8 times that of the values of these genes at all sites.
    key
        Name of the run (its `key_added`).
    noise
        Whether to draw measurements, including their noise. Otherwise only expression is drawn: without counting noise
        if values are counts or scaled counts (with or without log1p), else without all variation that is independent
        between sites.
    rng
        Seed or generator. The same seed on the same machine gives the same draws.

    Returns
    -------
    An iterator over `n` AnnData like that of :func:`s2s_scverse.get.dense` (with obs, var, obsm, and what squidpy needs
    of uns, all copies), of which one at a time is in memory:

    `.X`
        float32, (n_sites, n_genes): one draw on the scale of the input. Measured spots keep their values; if the run
        had ``denoise=True``, they are drawn too. Genes without negative measured values have no negative draws. The
        mean over many draws tends to the layer `key`. Their standard deviation is on average that of the layer
        ``f"{key}_std"``, and grows with the distance to measured spots.

    Raises
    ------
    KeyError
        If there is no such run, it has no fitted model or standard deviations, or a gene does not exist or was not
        imputed.
    TypeError, ValueError
        If an argument is not as described, or the measured values changed since the run.

    Notes
    -----
    Errors of expression have three parts. Kriging errors of the principal components are simulated by residual kriging
    :cite:p:`journel1978` and projected to genes; they are smooth and seamless over the section. Errors that are
    independent between sites are correlated between genes like the leave-one-out residuals of the spots. Errors of the
    parameters of a gene are the same at all sites. If values are counts or scaled counts (with or without log1p),
    molecules are then counted at a depth that differs from that of the nearest spots as it does between spots, so that
    draws have as many zeros as measurements. Components and residuals are recomputed from the measured spots; the
    layers give means and standard deviations.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> s2s.pp.normalize(dense)
    >>> s2s.tl.impute(dense, preset="quick", progress=False)
    >>> variances = [draw.X.var() for draw in s2s.get.draws(dense, 3)]
    >>> len(variances)
    3
    """
    check_adata(adata)
    n = check_int("n", n, least=1)
    check_bool("noise", noise)
    generator = check_rng(rng)
    plain, kept, columns = read_dense(adata, key, genes=genes)
    layer = _keys.STD.format(key)
    if layer not in adata.layers:
        msg = NO_STD.format(key)
        raise KeyError(msg)
    inputs = read_inputs_of_run(adata, key)
    drawn = np.zeros(adata.n_obs, bool)
    for section in inputs.sections:
        drawn[section.rows] = section.wanted | (section.measured & section.denoised)
    drawn &= np.isin(np.arange(adata.n_obs), kept)
    parts = [
        (spots, Part(adata, section, drawn, inputs.layer, noise=noise))
        for spots, section in zip(inputs.rows, inputs.sections, strict=True)
        if drawn[section.rows].any()
    ]
    for start in range(0, len(columns), GENE_BLOCK):
        block = slice(start, min(start + GENE_BLOCK, len(columns)))
        values = inputs.matrix.read(columns[block], finite=False)
        std = np.zeros((adata.n_obs, values.shape[1]), np.float32)
        std[drawn] = read_values(adata, drawn, columns[block], layer=layer, finite=False)
        if np.isnan(std).any():
            msg = f"run {key!r} has no standard deviations at some sites (fewer than {FEWEST} spots?)"
            raise ValueError(msg)
        for spots, part in parts:
            mean = plain.X[np.searchsorted(kept, part.rows), block]
            part.fit(block, columns[block], values[spots], mean, std[part.rows])
    return _draws(plain, kept, [part for _, part in parts], generator.spawn(n))


class Part:
    """Sampler of those sites of a section that are `drawn`, (n_obs,): the rows `rows` of the AnnData, (m,)."""

    def __init__(
        self, adata: AnnData, section: SectionOnLattice, drawn: NDArray[np.bool_], layer: str | None, *, noise: bool
    ) -> None:
        sites, measured = drawn[section.rows], section.measured
        self.rows = section.rows[sites]
        self._unmeasured, self._noise = ~measured[sites], noise
        self._counting = _counting(adata, section, sites, layer)
        at, weights = section.positions(measured), section_noise_weights(section, measured)
        kriging = Kriging(at[measured], at[sites], noise_weights=weights)
        n_components = int(np.clip(len(section.values) // SPOTS_PER_COMPONENT, *COMPONENTS))
        self.model = ErrorModel(PCAKriging(kriging, section.values, n_components=n_components), section.values)
        self.blocks: list[tuple[slice, GeneErrors]] = []

    def fit(self, block: slice, columns: NDArray[np.int64], values: Floats, mean: Floats, std: Floats) -> None:
        """Fit a block of genes to values at spots (n, n_genes), and to means and standard deviations (m, n_genes)."""
        variance, counted = np.square(std), np.zeros(mean.shape[1], np.float32)
        if self._counting is not None:
            noise = self._counting.variance(mean)
            # Standard deviations of denoised values are those of expression already.
            remaining = np.maximum(variance - noise, LEAST * variance)
            variance = np.where(self._unmeasured[:, None], remaining, variance)
            counted = noise.mean(axis=0)
        bounded, smooth = values.min(axis=0) >= 0, self._counting is None and not self._noise
        counting = (self._counting, counted) if self._noise else (None, 0.0)
        marginals = Marginals(mean, np.sqrt(variance), bounded, smooth, *counting)
        self.blocks.append((block, GeneErrors(self.model, values, columns, marginals)))


def _counting(
    adata: AnnData, section: SectionOnLattice, sites: NDArray[np.bool_], layer: str | None
) -> Counting | None:
    """Return what one molecule is worth at `sites` (n_sites,), from the spots around; None where it is not known.

    It differs from their mean as it does at spots.
    """
    spots = np.isin(np.arange(adata.n_obs), section.spots)
    found = read_molecules(adata, spots, layer=layer)
    if found is None:
        return None
    logs = np.log(found.unit[np.searchsorted(np.flatnonzero(spots), section.spots)])
    at, own = section.lattice.unit_coordinates, section.measured[sites]
    tree, count = cKDTree(at[section.measured]), max(1, min(NEIGHBOURS, len(logs) - 1))

    def around(places: NDArray[np.float64], first: int) -> NDArray[np.float64]:
        nearest = np.asarray(tree.query(places, k=range(first, first + count))[1])
        return np.asarray(logs[np.minimum(nearest, len(logs) - 1)])

    expected = around(at[sites], 1)
    deviations = logs - around(at[section.measured], 2).mean(axis=1)
    return Counting(np.exp(np.where(own, expected[:, 0], expected.mean(axis=1))), found.logged, deviations, own)


def _draws(
    plain: AnnData, kept: NDArray[np.int64], parts: list[Part], rngs: list[np.random.Generator]
) -> Iterator[AnnData]:
    """Yield a copy of `plain`, the rows `kept`, for each generator, with the sites of the parts drawn."""
    spawned = [rng.spawn(len(parts)) for rng in rngs]
    simulations: list[Iterator[Any]] = [
        part.model.simulate([children[number] for children in spawned]) for number, part in enumerate(parts)
    ]
    for simulated in zip(*simulations, strict=True):
        draw = plain.copy()
        for part, shared in zip(parts, simulated, strict=True):
            for block, errors in part.blocks:
                draw.X[np.searchsorted(kept, part.rows), block] = errors.draw(shared)
        yield draw
