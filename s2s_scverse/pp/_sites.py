"""Sections on their lattices: cells pooled in bins, and unmeasured sites appended to spots."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.utils import make_index_unique
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from .. import _keys
from .._checks import are_counts, check_finite, few, is_sparse, named_layers
from .._lattice import Fill, Lattice, fill_sites

log = logging.getLogger(__name__)

ON_LATTICE = 0.01  # residual of spots on the lattice, in pitches, up to which they are not displaced
AROUND = 32  # number of spots that the displacement of a new site is interpolated from


@dataclass(frozen=True, eq=False)
class Laid:
    """A section on its lattice."""

    name: str | None  # None for a single section
    rows: NDArray[np.int64]  # (n_spots,) its spots among those of all sections
    lattice: Lattice  # the spots in the order of `rows`, then the new sites
    coordinates: NDArray[np.float64]  # (n_spots, 2) x and y of the spots as given

    @property
    def prefix(self) -> str:
        """Beginning of messages about this section."""
        return "" if self.name is None else f"section {self.name!r}: "

    @property
    def spots(self) -> Lattice:
        return self.lattice.subset(np.arange(len(self.rows)))

    @property
    def new(self) -> Lattice:
        return self.lattice.subset(np.arange(len(self.rows), len(self.lattice)))

    def filled(self, factor: int, fill: Fill) -> "Laid":
        """Return the spots on the dense lattice, with the new sites."""
        lattice = self.lattice.densified(factor)
        index = np.concatenate([lattice.index, fill_sites(lattice, factor=factor, fill=fill)])
        return replace(self, lattice=lattice.with_index(index).rebased())

    def new_coordinates(self) -> NDArray[np.float64]:
        """Return x and y of the new sites, (n_new, 2), displaced from the lattice like the spots around them."""
        n_spots, exact, at = len(self.rows), self.lattice.coordinates, self.lattice.unit_coordinates
        aside = self.coordinates - exact[:n_spots]
        if n_spots == len(exact) or np.sqrt((aside**2).sum(axis=1).mean()) < ON_LATTICE * self.lattice.pitch:
            return exact[n_spots:]
        # Sorted by position, so that ties do not depend on the order of obs.
        order = np.argsort(self.lattice.position[:n_spots])
        nearest = cKDTree(at[order]).query(at[n_spots:], k=list(range(1, min(AROUND, n_spots) + 1)))
        distance, near = np.asarray(nearest[0]), order[np.asarray(nearest[1])]
        # Weights vanish at about twice the distance of the nearest spot.
        weight = np.maximum(1 / distance - 0.499 / distance[:, :1], 0) ** 2
        return np.asarray(exact[n_spots:] + (weight[..., None] * aside[near]).sum(axis=1) / weight.sum(axis=1)[:, None])

    def names(self, sites: Lattice) -> list[str]:
        """Return names of sites from their section, if there are several, and array positions."""
        section = "" if self.name is None else f"{self.name}_"
        return [f"{section}site_{row}x{col}" for row, col in sites.array.tolist()]


def binned(
    adata: AnnData, sections: Sequence[Laid], bins: NDArray[np.int64], spatial_key: str
) -> tuple[AnnData, dict[str, str]]:
    """Return the bins of all sections, and whether X and each layer are a ``"sum"`` or a ``"mean"``.

    `bins` holds the bin of each cell, numbered over all sections, (n_cells,); -1 for none.
    """
    inside = np.flatnonzero(bins >= 0)
    shape = sum(len(section.rows) for section in sections), adata.n_obs
    n_cells = np.bincount(bins[inside], minlength=shape[0])
    members = sparse.csr_matrix((np.ones(len(inside), np.float32), (bins[inside], inside)), shape=shape)
    pooling = {}

    def pooled(matrix: Any, key: str, what: str) -> Any:
        check_finite(matrix, what)
        total = members @ (matrix if is_sparse(matrix) else np.asarray(matrix))
        pooling[key] = "sum" if are_counts(matrix) else "mean"
        if pooling[key] == "mean":
            total = sparse.diags_array((1 / n_cells).astype(np.float32)) @ total
        return total.astype(np.float32)

    spots = AnnData(
        X=None if adata.X is None else pooled(adata.X, "X", "adata.X"),
        obs=pd.DataFrame({"n_cells": n_cells}, index=pd.RangeIndex(shape[0]).astype(str)),
        var=adata.var.copy(),
        layers={key: pooled(layer, key, f"adata.layers[{key!r}]") for key, layer in named_layers(adata).items()},
        obsm={spatial_key: np.concatenate([section.coordinates for section in sections])},
    )
    averaged = [key for key, how in pooling.items() if how == "mean"]
    if averaged and averaged[0] != "X" and adata.X is not None:
        log.warning("bins have means of %s, which are not counts; normalise bins instead", few(averaged))
    elif averaged:
        what = "adata.X" if averaged[0] == "X" else f"adata.layers[{averaged[0]!r}]"
        msg = f"{what} holds values that are not counts: bins get their means; bin counts, then call s2s.pp.normalize"
        warnings.warn(msg, UserWarning, stacklevel=3)
    if "spatial" in adata.uns:
        spots.uns["spatial"] = deepcopy(adata.uns["spatial"])
    return spots, pooling


def extended(
    spots: AnnData, sections: Sequence[Laid], measured: NDArray[np.bool_], spatial_key: str, library_key: str | None
) -> AnnData:
    """Return the spots with the new sites of all sections appended, array positions and measured sites."""
    dense, n_spots = spots.copy(), spots.n_obs
    array = np.concatenate([np.empty((n_spots, 2), np.int64), *(section.new.array for section in sections)])
    coordinates = np.concatenate([np.empty((n_spots, 2)), *(section.new_coordinates() for section in sections)])
    for section in sections:
        array[section.rows], coordinates[section.rows] = section.spots.array, section.coordinates
    if spatial_key not in dense.obsm:
        dense.obsm[spatial_key] = coordinates[:n_spots]
    n_new = len(array) - n_spots
    if n_new:
        names = spots.obs_names.append([pd.Index(section.names(section.new)) for section in sections])
        obs = _extended_obs(spots.obs, sections, make_index_unique(names))
        dense = _padded(dense, obs, {spatial_key: coordinates})
    dense.obs[_keys.ARRAY_ROW], dense.obs[_keys.ARRAY_COL] = array.T
    dense.obs[_keys.MEASURED] = np.r_[measured, np.zeros(n_new, bool)]
    if _keys.HELD_OUT in spots.obs:
        dense.obs[_keys.HELD_OUT] = np.r_[spots.obs[_keys.HELD_OUT].to_numpy(bool), np.zeros(n_new, bool)]
    if library_key is not None:
        column = spots.obs[library_key]
        of_new = np.repeat([str(section.name) for section in sections], [len(section.new) for section in sections])
        order = column.cat.categories.astype(str) if isinstance(column.dtype, pd.CategoricalDtype) else None
        dense.obs[library_key] = pd.Categorical([*column.astype(str), *of_new.tolist()], categories=order)
    return dense


def _extended_obs(obs: pd.DataFrame, sections: Sequence[Laid], names: pd.Index) -> pd.DataFrame:
    """Append new sites, which have the annotations that all spots of their section share."""
    n_new, found = [len(section.new) for section in sections], {}
    for key, column in obs.items():
        values = [column.iloc[section.rows].unique() for section in sections]
        like = [each.rows[0] if len(own) == 1 else -1 for each, own in zip(sections, values, strict=True)]
        source = np.concatenate([np.arange(len(obs)), np.repeat(like, n_new)])
        # Nullable, since h5ad files cannot store booleans with missing values as objects.
        kept = column.astype("boolean") if column.dtype == bool and -1 in source else column
        found[key] = kept.reset_index(drop=True).reindex(source).set_axis(names)
    return pd.DataFrame(found, index=names)


def _padded(spots: AnnData, obs: pd.DataFrame, obsm: dict[str, NDArray[np.float64]]) -> AnnData:
    """Append sites of value 0; drop embeddings, graphs, links to elements of SpatialData, and their entries in uns."""

    def padded(matrix: Any) -> Any:
        if is_sparse(matrix):
            matrix = matrix.tocsr()
            matrix.resize(len(obs), matrix.shape[1])
            return matrix
        return np.pad(matrix, ((0, len(obs) - len(matrix)), (0, 0)))

    links = {"connectivities_key", "distances_key", "instance_key"}
    uns = {key: entry for key, entry in spots.uns.items() if not (isinstance(entry, Mapping) and links & set(entry))}
    gone = {"obsm": set(spots.obsm) - set(obsm), "obsp": set(spots.obsp), "uns": set(spots.uns) - set(uns)}
    if texts := [f"{place}[{key!r}]" for place, keys in gone.items() for key in sorted(keys)]:
        log.info("dropped annotations that new sites lack: %s", ", ".join(texts))
    dense = AnnData(
        X=None if spots.X is None else padded(spots.X),
        obs=obs,
        var=spots.var,
        uns=uns,
        obsm=obsm,
        layers={key: padded(layer) for key, layer in named_layers(spots).items()},
        varm=dict(spots.varm),
        varp=dict(spots.varp),
    )
    if spots.raw is not None:
        dense.raw = AnnData(padded(spots.raw.X), obs=dense.obs[[]], var=spots.raw.var, varm=dict(spots.raw.varm))
    return dense


def with_spot_size(spatial: Any, factor: float, size: float | None) -> Any:
    """Return ``uns["spatial"]`` with the diameter of spots (or the `size` of bins) divided by `factor`."""
    if not isinstance(spatial, Mapping):
        return spatial
    spatial = deepcopy(dict(spatial))
    for library in spatial.values():
        scales = library.get("scalefactors") if isinstance(library, Mapping) else None
        if isinstance(scales, dict) and (diameter := size or scales.get("spot_diameter_fullres")) is not None:
            scales["spot_diameter_fullres"] = float(np.squeeze(diameter)) / factor
    return spatial
