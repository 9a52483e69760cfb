"""Appending unmeasured sites to spots."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from .. import _keys
from .._checks import is_sparse, named_layers
from .._lattice import Lattice

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Laid", "extended", "site_names", "with_spot_size"]


log = logging.getLogger(__name__)

ON_LATTICE, AROUND = 0.01, 32
"""Root mean square distance from the lattice, in pitches, that counts as none; most spots that a new site follows."""


@dataclass(frozen=True, eq=False)
class Laid:
    """A section on its dense lattice."""

    name: str | None
    """None where there is only one."""
    rows: NDArray[np.int64]
    """(n_spots,): its spots among those of all sections."""
    lattice: Lattice
    """Its sites: the spots in the order of `rows`, then the new ones."""
    coordinates: NDArray[np.float64]
    """(n_spots, 2): x and y of the spots as given."""

    def new_coordinates(self) -> NDArray[np.float64]:
        """(n_new, 2): x and y of the new sites, as far beside the lattice as the spots around them."""
        n_spots, exact, at = len(self.rows), self.lattice.coordinates, self.lattice.unit_coordinates
        aside = self.coordinates - exact[:n_spots]
        if n_spots == len(exact) or np.sqrt((aside**2).sum(axis=1).mean()) < ON_LATTICE * self.lattice.pitch:
            return exact[n_spots:]
        # In the order of positions: the spots found do not depend on that of obs.
        order = np.argsort(self.lattice.position[:n_spots])
        nearest = cKDTree(at[order]).query(at[n_spots:], k=list(range(1, min(AROUND, n_spots) + 1)))
        distance, near = np.asarray(nearest[0]), order[np.asarray(nearest[1])]
        # Weights reach 0 at twice the distance of the nearest spot: equally near ones count alike.
        weight = np.maximum(1 / distance - 0.499 / distance[:, :1], 0) ** 2
        return np.asarray(exact[n_spots:] + (weight[..., None] * aside[near]).sum(axis=1) / weight.sum(axis=1)[:, None])


def site_names(lattice: Lattice, name: str | None) -> pd.Index:
    """Name sites after their array positions, and their section if there are several."""
    section = "" if name is None else f"{name}_"
    return pd.Index([f"{section}site_{row}x{col}" for row, col in lattice.array.tolist()])


def extended(
    spots: "AnnData", sections: Sequence[Laid], measured: NDArray[np.bool_], spatial_key: str, library_key: str | None
) -> "AnnData":
    """Append the new sites of all sections to the spots, and write where everything lies and what is measured."""
    import anndata

    spots, n_spots = spots.copy(), spots.n_obs
    new = [section.lattice.subset(np.arange(len(section.rows), len(section.lattice))) for section in sections]
    names = spots.obs_names
    for section, sites in zip(sections, new, strict=True):
        names = names.append(site_names(sites, section.name))
    names = pd.Index(anndata.utils.make_index_unique(names)[n_spots:])
    dense = spots
    if spatial_key not in spots.obsm:
        spots.obsm[spatial_key] = np.concatenate([section.coordinates for section in sections])
    if len(names):
        _drop_pairwise(spots, spatial_key)
        blank = _blank(spots, names, {spatial_key: np.concatenate([each.new_coordinates() for each in sections])})
        spots.obsm[spatial_key] = np.asarray(spots.obsm[spatial_key], dtype=np.float64)
        dense = anndata.concat([spots, blank], join="outer", merge="first", fill_value=np.nan)
        dense.uns = spots.uns  # merged by anndata, it would lose what is empty, such as scanpy's mark of log1p
        dense.obs = _extended_obs(spots.obs, dense.obs_names)
    array = np.empty((dense.n_obs, 2), dtype=np.int64)
    array[n_spots:] = np.concatenate([sites.array for sites in new])
    for section in sections:
        array[section.rows] = section.lattice.array[: len(section.rows)]
    dense.obs[_keys.ARRAY_ROW], dense.obs[_keys.ARRAY_COL] = array.T
    dense.obs[_keys.MEASURED] = np.r_[measured, np.zeros(len(names), bool)]
    if _keys.HELD_OUT in spots.obs:
        dense.obs[_keys.HELD_OUT] = np.r_[spots.obs[_keys.HELD_OUT].to_numpy(bool), np.zeros(len(names), bool)]
    if library_key is not None:
        column = spots.obs[library_key]
        added = [str(section.name) for section, sites in zip(sections, new, strict=True) for _ in range(len(sites))]
        values = pd.Index([*column.astype(str), *added])
        order = column.cat.categories.astype(str) if isinstance(column.dtype, pd.CategoricalDtype) else None
        dense.obs[library_key] = pd.Categorical(values, categories=order)
    return dense


def _drop_pairwise(spots: "AnnData", spatial_key: str) -> None:
    """Drop what new sites cannot have: embeddings, graphs, and what uns says of graphs."""
    gone = [key for key in spots.obsm if key != spatial_key]
    graphs = [
        key
        for key, entry in spots.uns.items()
        if isinstance(entry, Mapping) and {"connectivities_key", "distances_key"} & set(entry)
    ]
    for key in gone:
        del spots.obsm[key]
    for key in graphs:
        del spots.uns[key]
    if gone or graphs or len(spots.obsp):
        found = [f"obsm[{key!r}]" for key in gone] + [f"obsp[{key!r}]" for key in spots.obsp]
        log.info("dropped, since new sites have none: %s", ", ".join(found + [f"uns[{key!r}]" for key in graphs]))


def with_spot_size(spatial: Any, factor: float, size: float | None) -> Any:
    """Return ``uns["spatial"]`` with the diameter of spots divided by `factor`, or first set to `size` (of bins)."""
    if not isinstance(spatial, Mapping):
        return spatial
    spatial = deepcopy(dict(spatial))
    for library in spatial.values():
        scales = library.get("scalefactors") if isinstance(library, Mapping) else None
        if isinstance(scales, dict) and (diameter := size or scales.get("spot_diameter_fullres")) is not None:
            scales["spot_diameter_fullres"] = float(diameter) / factor
    return spatial


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
        layers={key: zeros(layer, section.n_vars) for key, layer in named_layers(section).items()},
    )
    if section.raw is not None:
        blank.raw = AnnData(
            X=zeros(section.raw.X, section.raw.n_vars), obs=blank.obs, var=pd.DataFrame(index=section.raw.var_names)
        )
    return blank


def _extended_obs(obs: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Missing annotations of new sites; truth values become nullable, since h5ad cannot hold them as objects."""
    truth = obs.select_dtypes("bool").columns
    return obs.astype(dict.fromkeys(truth, "boolean")).reindex(names)
