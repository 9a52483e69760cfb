import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import read_mask, read_sections
from .._checks import check_adata, check_int, check_positive, check_rng
from .._lattice import random_sample, regular_sample


def sparsify(
    adata: AnnData,
    *,
    stride: int = 2,
    phase: tuple[int, int] = (0, 0),
    fraction: float | None = None,
    keep: NDArray[np.bool_] | str | None = None,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> AnnData | None:
    """Hold out measured spots, to simulate sparser sampling.

    Held-out spots keep their values in X, but :func:`s2s_scverse.tl.impute` does not read them.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several, which are processed separately.
    stride
        Keep every `stride`-th spot along both axes of the lattice of spots (square: rows and columns).
    phase
        Offset of the kept spots along both axes, each from 0 to ``stride - 1``.
    fraction
        Keep this random fraction of the spots instead of a regular subset.
    keep
        Keep these spots instead, for example to simulate holes or lost rows: a boolean for every site of `adata`, or
        the name of an obs column. Values at unmeasured sites are ignored.
    rng
        Seed or generator for `fraction`.
    copy
        Whether to return a modified copy.

    Returns
    -------
    `None`, or the copy. Sets the following fields:

    `.obs['s2s_measured']`
        Also False at the held-out spots.
    `.obs['s2s_held_out']`
        Whether a site is a held-out spot.

    Raises
    ------
    KeyError
        If `adata` has no lattice, or no column `keep`.
    TypeError, ValueError
        If an argument is invalid, both `fraction` and `keep` are given, no spot is kept, or spots are held out already.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6), upsample=1)
    >>> s2s.pp.sparsify(dense, stride=2)
    >>> bool((dense.obs["s2s_measured"] & dense.obs["s2s_held_out"]).any())
    False
    """
    check_adata(adata)
    sections = read_sections(adata)
    measured = read_mask(adata, _keys.MEASURED)
    if read_mask(adata, _keys.HELD_OUT).any():
        undo = f"adata.obs[{_keys.MEASURED!r}] |= adata.obs.pop({_keys.HELD_OUT!r})"
        msg = f"spots are held out already; undo that first: {undo}"
        raise ValueError(msg)
    if keep is not None:
        chosen = _check_keep(adata, keep, fraction)
    elif fraction is None:
        stride = check_int("stride", stride, least=1)
        if not isinstance(phase, tuple | list) or len(phase) != 2:
            msg = f"phase must be two integers, found {phase!r}"
            raise ValueError(msg)
        first, second = (check_int("phase", offset, least=0, most=stride - 1) for offset in phase)
    else:
        fraction, generator = check_positive("fraction", fraction, below=1), check_rng(rng)

    kept = np.zeros(adata.n_obs, dtype=bool)
    for section in sections:
        called = "the section" if section.name is None else f"section {section.name!r}"
        if not section.measured.any():
            msg = f"no site is measured in {called}"
            raise ValueError(msg)
        spots = section.lattice.subset(section.measured)
        if keep is not None:
            kept_spots = chosen[section.spots]
        elif fraction is not None:
            kept_spots = random_sample(len(spots), fraction, generator)
        else:
            spots = spots.coarsened(section.lattice.stride(section.measured))
            kept_spots = regular_sample(spots, stride, (first, second))
        if not kept_spots.any():
            how = "keep" if keep is not None else f"stride={stride}, phase={phase}"
            msg = f"no spot is left with {how}: {called} has {len(spots)} spots"
            raise ValueError(msg)
        kept[section.spots[kept_spots]] = True
    adata = adata.copy() if copy else adata
    adata.obs = adata.obs.assign(**{_keys.HELD_OUT: measured & ~kept, _keys.MEASURED: kept})
    return adata if copy else None


def _check_keep(adata: AnnData, keep: NDArray[np.bool_] | str, fraction: float | None) -> NDArray[np.bool_]:
    """Return the sites to keep, (n_obs,)."""
    if fraction is not None:
        msg = "fraction and keep exclude each other; pass one of them"
        raise ValueError(msg)
    if isinstance(keep, str):
        if keep not in adata.obs:
            msg = f"keep={keep!r} not found in adata.obs"
            raise KeyError(msg)
        # Unmeasured sites have no values in a column of spots.
        chosen = adata.obs[keep].to_numpy(dtype=object, copy=True)
        chosen[~read_mask(adata, _keys.MEASURED)] = False
        if not all(isinstance(value, bool | np.bool_) for value in chosen):
            msg = f"adata.obs[{keep!r}] must hold True or False for every measured site"
            raise ValueError(msg)
        return np.asarray(chosen, dtype=bool)
    chosen = np.asarray(keep)
    if chosen.dtype != bool:
        msg = f"keep must hold truth values, found dtype {chosen.dtype}"
        raise TypeError(msg)
    if chosen.shape != (adata.n_obs,):
        msg = f"keep must have one value for each of the {adata.n_obs} sites, found shape {chosen.shape}"
        raise ValueError(msg)
    return chosen
