from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys
from .._checks import check_adata, check_coordinates, check_name
from .._section import choose_section, read_lattice, read_sections
from .._spatialdata import import_spatialdata
from ._image import image

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["spatialdata", "spatialdata_image"]

REGION, INSTANCE = "s2s_region", "s2s_site"
"""Columns that spatialdata needs; names of our own, since sections are often told apart by a column "region"."""


def spatialdata(
    adata: "AnnData", *, region: str = "sites", coordinate_system: str = "global", spatial_key: str = _keys.SPATIAL
) -> Any:
    """Turn a section into a SpatialData object: its sites as circles, and a table of all values.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`, or several. Not changed.
    region
        Name of the shapes; with several sections ``<region>_<section>`` for each.
    coordinate_system
        The coordinate system that the units of ``obsm[spatial_key]`` belong to.
    spatial_key
        Key of ``obsm`` with x and y of every site.

    Returns
    -------
    A :class:`spatialdata.SpatialData` with shapes (circles, whose radius is half the distance of neighbouring sites)
    and the table ``"table"``, a copy of `adata` that annotates them by its columns ``s2s_region`` and ``s2s_site``.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If `adata` has no lattice or no coordinates.
    ValueError
        If spatialdata cannot tell the names of two sections apart.

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
    _check_region(region, library.sanitize_name)
    coordinates = check_coordinates(adata, spatial_key)
    names = np.empty(adata.n_obs, dtype=object)
    shapes = {}
    for section in read_sections(adata):
        name = region if section.name is None else f"{region}_{library.sanitize_name(section.name)}"
        if name in shapes:
            msg = f"names of sections become the same in spatialdata ({name!r}), found {section.name!r}; rename them"
            raise ValueError(msg)
        names[section.rows] = name
        shapes[name] = library.models.ShapesModel.parse(
            coordinates[section.rows],
            geometry=0,
            radius=section.lattice.pitch / 2,
            index=section.rows,
            transformations={coordinate_system: library.transformations.Identity()},
        )
    table = adata.to_memory(copy=True)
    table.uns.pop(library.models.TableModel.ATTRS_KEY, None)
    table.obs[REGION], table.obs[INSTANCE] = names.astype(str), np.arange(adata.n_obs)
    table.obs[REGION] = table.obs[REGION].astype("category")
    table = library.models.TableModel.parse(table, region=list(shapes), region_key=REGION, instance_key=INSTANCE)
    return library.SpatialData(shapes=shapes, tables={"table": table})


def _check_region(region: object, sanitize: "Callable[[str], str]") -> None:
    """Refuse what spatialdata takes for no name."""
    check_name("region", region)
    allowed = sanitize(str(region))
    if region != allowed:
        msg = f"region must be a name that spatialdata allows, such as {allowed!r}, found {region!r}"
        raise ValueError(msg)


def spatialdata_image(
    adata: "AnnData",
    genes: str | Sequence[str] | None = None,
    *,
    layer: str | None = None,
    library: str | None = None,
    coordinate_system: str = "global",
) -> Any:
    """Turn a section into a raster image for SpatialData, with genes as channels.

    Parameters
    ----------
    adata
        A section on its lattice, from :func:`s2s_scverse.pp.grid`.
    genes
        Genes to show, all by default.
    layer
        Layer to show, X by default; see :func:`s2s_scverse.get.image`.
    library
        Which section to show, if `adata` holds several.
    coordinate_system
        The coordinate system that the units of ``obsm["spatial"]`` belong to.

    Returns
    -------
    :class:`xarray.DataArray` (c, y, x), an image element of spatialdata: ``sdata["genes"] = image`` adds it. One pixel
    is one site; an affine transformation places (and on hexagonal lattices shears) it in `coordinate_system`. NaN
    where there is no value.

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
    tensor = image(adata, genes, layer=layer, library=library)
    lattice = read_lattice(choose_section(adata, library))
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
