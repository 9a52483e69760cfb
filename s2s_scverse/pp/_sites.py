"""Sections on their lattices, and unmeasured sites appended to their spots."""

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from .. import _keys
from .._checks import is_sparse, named_layers
from .._lattice import Fill, Lattice, fill_sites

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Laid", "extended", "with_spot_size"]

log = logging.getLogger(__name__)

ON_LATTICE, AROUND = 0.01, 32
"""Root mean square distance from the lattice, in pitches, that counts as none; most spots that a new site follows."""


@dataclass(frozen=True, eq=False)
class Laid:
    """A section on its lattice."""

    name: str | None
    """None where there is only one."""
    rows: NDArray[np.int64]
    """(n_spots,): its spots among those of all sections."""
    lattice: Lattice
    """Its sites: the spots in the order of `rows`, then the new ones."""
    coordinates: NDArray[np.float64]
    """(n_spots, 2): x and y of the spots as given."""

    @property
    def prefix(self) -> str:
        """How messages about this section begin."""
        return "" if self.name is None else f"section {self.name!r}: "

    @property
    def spots(self) -> Lattice:
        """The lattice of the spots alone."""
        return self.lattice.subset(np.arange(len(self.rows)))

    @property
    def new(self) -> Lattice:
        """The lattice of the new sites alone."""
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
        # Sorted by position, so that the nearest spots do not depend on the order of obs.
        order = np.argsort(self.lattice.position[:n_spots])
        nearest = cKDTree(at[order]).query(at[n_spots:], k=list(range(1, min(AROUND, n_spots) + 1)))
        distance, near = np.asarray(nearest[0]), order[np.asarray(nearest[1])]
        # Weights fall to 0 at about twice the distance of the nearest spot; equally near spots count alike.
        weight = np.maximum(1 / distance - 0.499 / distance[:, :1], 0) ** 2
        return np.asarray(exact[n_spots:] + (weight[..., None] * aside[near]).sum(axis=1) / weight.sum(axis=1)[:, None])

    def names(self, sites: Lattice) -> list[str]:
        """Name sites after their array positions, and after their section if there are several."""
        section = "" if self.name is None else f"{self.name}_"
        return [f"{section}site_{row}x{col}" for row, col in sites.array.tolist()]


def extended(
    spots: "AnnData", sections: Sequence[Laid], measured: NDArray[np.bool_], spatial_key: str, library_key: str | None
) -> "AnnData":
    """Append the new sites of all sections to the spots, and write array positions and what is measured."""
    import anndata

    spots, n_spots = spots.copy(), spots.n_obs
    names = spots.obs_names.append([pd.Index(section.names(section.new)) for section in sections])
    names = pd.Index(anndata.utils.make_index_unique(names)[n_spots:])
    dense = spots
    if spatial_key not in spots.obsm:
        spots.obsm[spatial_key] = np.concatenate([section.coordinates for section in sections])
    if len(names):
        _drop_pairwise(spots, spatial_key)
        blank = _blank(spots, names)
        blank.obsm[spatial_key] = np.concatenate([section.new_coordinates() for section in sections])
        spots.obsm[spatial_key] = np.asarray(spots.obsm[spatial_key], dtype=np.float64)
        dense = anndata.concat([spots, blank], join="outer", merge="first", fill_value=np.nan)
        dense.uns = spots.uns  # concat drops empty entries, such as scanpy's uns["log1p"]
        # Truth values of spots become nullable, since h5ad cannot store them as objects.
        truth = dict.fromkeys(spots.obs.select_dtypes("bool").columns, "boolean")
        dense.obs = spots.obs.astype(truth).reindex(dense.obs_names)
    array = np.empty((dense.n_obs, 2), dtype=np.int64)
    array[n_spots:] = np.concatenate([section.new.array for section in sections])
    for section in sections:
        array[section.rows] = section.lattice.array[: len(section.rows)]
    dense.obs[_keys.ARRAY_ROW], dense.obs[_keys.ARRAY_COL] = array.T
    dense.obs[_keys.MEASURED] = np.r_[measured, np.zeros(len(names), bool)]
    if _keys.HELD_OUT in spots.obs:
        dense.obs[_keys.HELD_OUT] = np.r_[spots.obs[_keys.HELD_OUT].to_numpy(bool), np.zeros(len(names), bool)]
    if library_key is not None:
        column = spots.obs[library_key]
        added = [str(section.name) for section in sections for _ in range(len(section.new))]
        values = pd.Index([*column.astype(str), *added])
        order = column.cat.categories.astype(str) if isinstance(column.dtype, pd.CategoricalDtype) else None
        dense.obs[library_key] = pd.Categorical(values, categories=order)
    return dense


def _drop_pairwise(spots: "AnnData", spatial_key: str) -> None:
    """Drop what new sites cannot have: embeddings, graphs, and the entries of graphs in uns."""
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
        dropped = {"obsm": gone, "obsp": spots.obsp, "uns": graphs}
        texts = [f"{name}[{key!r}]" for name, keys in dropped.items() for key in keys]
        log.info("dropped, since new sites have none: %s", ", ".join(texts))


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


def _blank(section: "AnnData", names: pd.Index) -> "AnnData":
    """Return new sites, whose values are all 0."""
    from anndata import AnnData

    def zeros(like: Any, n_columns: int) -> Any:
        make = sparse.csr_matrix if is_sparse(like) else np.zeros
        return make((len(names), n_columns), dtype=like.dtype)

    blank = AnnData(
        X=None if section.X is None else zeros(section.X, section.n_vars),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=section.var_names),
        layers={key: zeros(layer, section.n_vars) for key, layer in named_layers(section).items()},
    )
    if section.raw is not None:
        blank.raw = AnnData(
            X=zeros(section.raw.X, section.raw.n_vars), obs=blank.obs, var=pd.DataFrame(index=section.raw.var_names)
        )
    return blank
