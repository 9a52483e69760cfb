from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from .. import _keys
from .._checks import (
    check_adata,
    check_choice,
    check_column,
    check_coordinates,
    check_int,
    check_numeric,
    check_unique_genes,
    few,
    is_sparse,
)
from .._lattice import Fill, Lattice, bin_lattice, fill_sites, lattice_from_array, lattice_from_coordinates
from .._runs import find_runs
from .._section import array_positions, grid_entry

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["grid"]


def grid(
    adata: "AnnData",
    *,
    upsample: int = 2,
    bin_size: float | None = None,
    fill: Fill = "tissue",
    spatial_key: str = "spatial",
) -> "AnnData":
    """Lay a section on its lattice and add the unmeasured sites inside the tissue.

    The lattice is read from ``array_row`` and ``array_col`` where `adata.obs` has them (any offset and spacing), else
    fitted to the coordinates, else made of bins.

    Parameters
    ----------
    adata
        One section. Not changed.
    upsample
        Spacing of the spots in sites of the result, 1 to 8. 2 puts one site between two neighbouring spots (four
        times as many sites), 1 adds only the holes inside the tissue.
    bin_size
        For cells or beads: side of square bins, in the units of the coordinates. A bin's counts are the sums over
        its cells. Values that are no counts (any that is not a whole number, or negative) are averaged instead. Bins
        without cells inside the tissue are unmeasured sites.
    fill
        Where to add sites. ``"tissue"``: the morphological closing of the spots on the dense lattice, so gaps up to two
        spots wide are filled and larger holes stay holes. ``"hull"``: the convex hull of the spots. ``"all"``: the
        whole bounding box.
    spatial_key
        Key of `adata.obsm` with x and y of every spot.

    Returns
    -------
    A new AnnData: the spots first, in their order and with their names, then the new sites, named
    ``site_<row>x<col>``, whose rows in X, layers and raw are 0 and whose other annotations are missing.
    Sets the following fields:

    `.obs['array_row']`, `.obs['array_col']`
        Lattice position of every site, counted in dense sites from 0.
    `.obs['s2s_measured']`
        Whether the site is a measured spot.
    `.obs['n_cells']`
        Only with `bin_size`: number of cells in the bin.
    `.obsm[spatial_key]`
        Coordinates, of spots as given, of new sites by the fitted lattice.
    `.uns['s2s']['grid']`
        Kind, shape, stride, pitch (units of the coordinates), basis and origin of the lattice; with `bin_size` also
        `bins`: whether X and each layer were summed or averaged.

    Integer annotations of spots become floats and truth values nullable, since new sites have none. Pairwise
    annotations (`.obsp`) are dropped, and so are layers that this package wrote: they belong to the lattice they were
    made on. With `bin_size`, only X, layers and var are carried over to the bins. Backed and lazy (dask) sections are
    read into memory.

    Raises
    ------
    KeyError
        If the coordinates are missing.
    TypeError
        If arguments or coordinates are of a wrong type.
    ValueError
        If no lattice is found, spots share a position, or `adata` has unmeasured sites already.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> adata = s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6)
    >>> dense = s2s.pp.grid(adata, upsample=2)
    >>> int(dense.obs["s2s_measured"].sum()) == adata.n_obs
    True
    """
    check_adata(adata)
    check_unique_genes(adata)
    factor = check_int("upsample", upsample, least=1, most=8)
    check_choice("fill", fill, ("tissue", "hull", "all"))
    coordinates = check_coordinates(adata, spatial_key)
    _check_spots(adata)
    pooling: dict[str, str] = {}
    if bin_size is None:
        section, lattice = _without_runs(_in_memory(adata)), _find_lattice(adata, coordinates)
    else:
        lattice, bins = bin_lattice(coordinates, _check_bin_size(bin_size))
        section, pooling = _binned(_in_memory(adata), lattice, bins, spatial_key)

    lattice = lattice.densified(factor)
    new = fill_sites(lattice, factor=factor, fill=fill)
    everything = lattice.with_index(np.concatenate([lattice.index, new])).rebased()
    dense = _extended(section, everything, spatial_key)
    if bin_size is not None:
        dense.obs_names = _site_names(everything.array)
    dense.uns[_keys.UNS] = {_keys.GRID: grid_entry(everything, stride=factor) | ({"bins": pooling} if pooling else {})}
    return dense


def _check_bin_size(bin_size: object) -> float:
    if isinstance(bin_size, bool) or not isinstance(bin_size, int | float | np.number):
        msg = f"bin_size must be a number in the units of the coordinates, found {bin_size!r}"
        raise TypeError(msg)
    if not (np.isfinite(bin_size) and bin_size > 0):
        msg = f"bin_size must be positive and finite, found {bin_size}"
        raise ValueError(msg)
    return float(bin_size)


def _check_spots(adata: "AnnData") -> None:
    """Refuse sites that hold no measurement: their zeros would become measured values."""
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()].unique()
        msg = f"spot names are not unique ({few(repeated)}); call adata.obs_names_make_unique() first"
        raise ValueError(msg)
    if _keys.MEASURED not in adata.obs:
        return
    empty = ~check_column(adata, _keys.MEASURED)
    if _keys.HELD_OUT in adata.obs:
        empty &= ~check_column(adata, _keys.HELD_OUT)
    if empty.any():
        msg = (
            f"{int(empty.sum())} of {adata.n_obs} sites are unmeasured already; call s2s.pp.grid on the spots, "
            f"for example on adata[adata.obs[{_keys.MEASURED!r}]]"
        )
        raise ValueError(msg)


def _find_lattice(adata: "AnnData", coordinates: NDArray[np.float64]) -> Lattice:
    if _keys.ARRAY_ROW in adata.obs and _keys.ARRAY_COL in adata.obs:
        return lattice_from_array(array_positions(adata), coordinates)
    return lattice_from_coordinates(coordinates)


def _site_names(array: NDArray[np.int64]) -> pd.Index:
    return pd.Index([f"site_{row}x{col}" for row, col in array.tolist()])


def _in_memory(adata: "AnnData") -> "AnnData":
    """Read what is backed by a file or lazy."""
    lazy = any(hasattr(matrix, "compute") for matrix in (adata.X, *adata.layers.values()))
    return adata.to_memory() if adata.isbacked or lazy else adata


def _without_runs(adata: "AnnData") -> "AnnData":
    """Leave out layers that belong to another lattice."""
    stale = [key for key in find_runs(adata) if key in adata.layers]
    if not stale:
        return adata
    adata = adata.copy()
    for key in stale:
        del adata.layers[key]
        adata.layers.pop(_keys.STD.format(key), None)
        adata.obs = adata.obs.drop(columns=_keys.VISIBLE.format(key), errors="ignore")
    return adata


def _binned(
    adata: "AnnData", lattice: Lattice, bins: NDArray[np.int64], spatial_key: str
) -> tuple["AnnData", dict[str, str]]:
    """Sum (or average) cells over bins, and say which."""
    from anndata import AnnData

    n_cells = np.bincount(bins, minlength=len(lattice))
    members = sparse.csr_matrix((np.ones(adata.n_obs, np.float32), (bins, np.arange(adata.n_obs))))
    pooling = {}

    def pooled(matrix: Any, key: str, what: str) -> Any:
        check_numeric(matrix, what)
        data = matrix.data if is_sparse(matrix) else np.asarray(matrix)
        if not np.isfinite(data).all():
            msg = (
                f"{what} has {int((~np.isfinite(data)).sum())} values that are NaN or infinite; set or drop them first"
            )
            raise ValueError(msg)
        counts = bool(np.all(data >= 0) and np.all(data == np.round(data)))
        pooling[key] = "sum" if counts else "mean"
        total = members @ (matrix if is_sparse(matrix) else data)
        if not counts:
            total = sparse.diags_array((1 / n_cells).astype(np.float32)) @ total
        return total.astype(np.float32)

    binned = AnnData(
        X=None if adata.X is None else pooled(adata.X, "X", "adata.X"),
        obs=pd.DataFrame({"n_cells": n_cells}, index=_site_names(lattice.array)),
        var=adata.var.copy(),
        layers={key: pooled(layer, key, f"adata.layers[{key!r}]") for key, layer in adata.layers.items()},
        obsm={spatial_key: lattice.coordinates},
    )
    return binned, pooling


def _blank(section: "AnnData", names: pd.Index, obsm: dict[str, NDArray[np.float64]]) -> "AnnData":
    """New sites: nothing but zeros and coordinates."""
    from anndata import AnnData

    def zeros(like: Any, n_columns: int) -> Any:
        if is_sparse(like):
            nothing = np.empty(0, like.dtype), (np.empty(0, np.int32), np.empty(0, np.int32))
            return sparse.coo_matrix(nothing, shape=(len(names), n_columns)).tocsr()
        return np.zeros((len(names), n_columns), dtype=like.dtype)

    blank = AnnData(
        X=None if section.X is None else zeros(section.X, section.n_vars),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=section.var_names),
        obsm=obsm,
        layers={key: zeros(layer, section.n_vars) for key, layer in section.layers.items()},
    )
    if section.raw is not None:
        blank.raw = AnnData(
            X=zeros(section.raw.X, section.raw.n_vars), obs=blank.obs, var=pd.DataFrame(index=section.raw.var_names)
        )
    return blank


def _extended(section: "AnnData", lattice: Lattice, spatial_key: str) -> "AnnData":
    """Append the unmeasured sites to the spots."""
    import anndata

    n_spots = section.n_obs
    section = section.copy()
    names = section.obs_names.append(_site_names(lattice.array[n_spots:]))
    names = pd.Index(anndata.utils.make_index_unique(names)[n_spots:])
    if len(names):
        blank = _blank(section, names, {spatial_key: lattice.coordinates[n_spots:]})
        section.obsm[spatial_key] = np.asarray(section.obsm[spatial_key], dtype=np.float64)
        dense = anndata.concat([section, blank], join="outer", merge="first", uns_merge="first", fill_value=np.nan)
        dense.obs = _extended_obs(section.obs, dense.obs_names)
    else:
        dense = section
    dense.obs[_keys.ARRAY_ROW], dense.obs[_keys.ARRAY_COL] = lattice.array.T
    if _keys.MEASURED in section.obs:
        dense.obs[_keys.MEASURED] = np.r_[section.obs[_keys.MEASURED].to_numpy(bool), np.zeros(len(names), bool)]
    else:
        dense.obs[_keys.MEASURED] = np.arange(dense.n_obs) < n_spots
    if _keys.HELD_OUT in section.obs:
        dense.obs[_keys.HELD_OUT] = np.r_[section.obs[_keys.HELD_OUT].to_numpy(bool), np.zeros(len(names), bool)]
    return dense


def _extended_obs(obs: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Missing annotations of new sites; truth values become nullable, since h5ad cannot hold them as objects."""
    truth = obs.select_dtypes("bool").columns
    return obs.astype(dict.fromkeys(truth, "boolean")).reindex(names)
