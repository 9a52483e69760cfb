from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _keys
from .._adata import read_section, read_sections
from .._checks import check_adata, check_coordinates, check_name, few
from .._spatialdata import import_spatialdata
from ._image import image

REGION, INSTANCE = "s2s_region", "s2s_site"  # columns that spatialdata requires


def spatialdata(
    adata: AnnData,
    *,
    into: Any = None,
    region: str = "sites",
    table: str | None = None,
    coordinate_system: str = "global",
    spatial_key: str = _keys.SPATIAL,
) -> Any:
    """Return a section as a SpatialData object with its sites as circles, and a table.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several.
    into
        A :class:`spatialdata.SpatialData` to add the elements to, such as the one that was passed to
        :func:`s2s_scverse.pp.from_spatialdata`; ``into.write_element`` writes them. By default a new one.
    region
        Name of the shapes; with several sections ``<region>_<section>`` for each.
    table
        Name of the table, by default ``"table"``, or ``"<region>_table"`` with `into`.
    coordinate_system
        Coordinate system of ``obsm[spatial_key]``.
    spatial_key
        Key of ``obsm`` with x and y of every site.

    Returns
    -------
    A :class:`spatialdata.SpatialData` (`into`, if given) with circles, whose radius is half the distance between
    neighbouring sites, and a copy of `adata` that annotates them by its columns ``s2s_region`` and ``s2s_site``.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If `adata` has no lattice or no coordinates, or `into` has no such coordinate system.
    TypeError, ValueError
        If `into` is not a SpatialData or has elements of these names, or names of sections coincide in spatialdata.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6))
    >>> s2s.get.spatialdata(dense)["table"].shape == dense.shape  # doctest: +SKIP
    True
    """
    library = import_spatialdata()
    check_adata(adata)
    check_name("coordinate_system", coordinate_system)
    name_of_table = table or ("table" if into is None else f"{region}_table")
    for argument, given in (("region", region), ("table", name_of_table)):
        check_name(argument, given)
        if given != (allowed := library.sanitize_name(given)):
            msg = f"{argument} must be a name that spatialdata allows, such as {allowed!r}, found {given!r}"
            raise ValueError(msg)
    coordinates = check_coordinates(adata, spatial_key)
    names = np.empty(adata.n_obs, dtype=object)
    elements = {}
    for section in read_sections(adata):
        name = region if section.name is None else f"{region}_{library.sanitize_name(section.name)}"
        if name in elements:
            msg = f"names of sections become the same in spatialdata ({name!r}), found {section.name!r}; rename them"
            raise ValueError(msg)
        names[section.rows] = name
        elements[name] = library.models.ShapesModel.parse(
            coordinates[section.rows],
            geometry=0,
            radius=section.lattice.pitch / 2,
            index=section.rows,
            transformations={coordinate_system: library.transformations.Identity()},
        )
    regions = list(elements)
    if into is not None:
        if not isinstance(into, library.SpatialData):
            msg = f"into must be a SpatialData, found {type(into).__name__}"
            raise TypeError(msg)
        if taken := [name for name in (*regions, name_of_table) if name in into]:
            msg = f"into has elements named {few(taken)} already; delete them (del into[{taken[0]!r}]) or pass region="
            raise ValueError(msg)
        if coordinate_system not in into.coordinate_systems:
            known = f"into has: {few(into.coordinate_systems)}; pass that of s2s.pp.from_spatialdata"
            msg = f"coordinate system {coordinate_system!r} not found; {known}"
            raise KeyError(msg)
    values = adata.to_memory(copy=True)
    values.uns.pop(library.models.TableModel.ATTRS_KEY, None)
    values.obs[REGION] = pd.Categorical(names.astype(str))
    values.obs[INSTANCE] = np.arange(adata.n_obs)
    annotates = {"region": regions, "region_key": REGION, "instance_key": INSTANCE}
    elements[name_of_table] = library.models.TableModel.parse(values, **annotates)
    found = library.SpatialData() if into is None else into
    for name, element in elements.items():
        found[name] = element
    return found


def spatialdata_image(
    adata: AnnData,
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    library_id: str | None = None,
    coordinate_system: str = "global",
) -> Any:
    """Return a section as an image element of SpatialData, with genes as channels.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    genes
        Genes to show, all by default.
    layer
        Layer to show, X by default; see :func:`s2s_scverse.get.image`.
    library_id
        Section to show, if `adata` holds several.
    coordinate_system
        Coordinate system of ``obsm["spatial"]``.

    Returns
    -------
    :class:`xarray.DataArray` (c, y, x) with one pixel per site, NaN where there is no value, and an affine
    transformation to `coordinate_system`. ``sdata["genes"] = image`` adds it.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError, ValueError
        As :func:`s2s_scverse.get.image`.

    Examples
    --------
    >>> import s2s_scverse as s2s
    >>> dense = s2s.pp.grid(s2s.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=6))
    >>> s2s.get.spatialdata_image(dense).dims  # doctest: +SKIP
    ('c', 'y', 'x')
    """
    spatialdata = import_spatialdata()
    check_name("coordinate_system", coordinate_system)
    tensor = image(adata, genes, layer=layer, library_id=library_id)
    lattice = read_section(adata, library_id)[1].lattice
    along_u, along_v = lattice.basis
    # The centre of the first pixel lies at (0.5, 0.5).
    origin = lattice.origin + (lattice.lower - 0.5) @ lattice.basis
    affine = np.array([[along_v[0], along_u[0], origin[0]], [along_v[1], along_u[1], origin[1]], [0, 0, 1]])
    placed = spatialdata.transformations.Affine(affine, input_axes=("x", "y"), output_axes=("x", "y"))
    return spatialdata.models.Image2DModel.parse(
        tensor.to_numpy(),
        dims=("c", "y", "x"),
        c_coords=tensor["gene"].to_numpy().tolist(),
        transformations={coordinate_system: placed},
    )
