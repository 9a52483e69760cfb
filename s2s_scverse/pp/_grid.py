from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _keys
from .._checks import (
    check_adata,
    check_choice,
    check_column,
    check_coordinates,
    check_int,
    check_name,
    check_positive,
    check_unique_genes,
    few,
    named_layers,
)
from .._lattice import (
    Fill,
    Lattice,
    auto_bin_size,
    bin_lattice,
    fill_sites,
    lattice_from_array,
    lattice_from_coordinates,
    residual,
)
from .._runs import find_runs
from .._section import array_positions, grid_entry
from ._bins import binned
from ._sites import Laid, extended, site_names, with_spot_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

T = TypeVar("T")

__all__ = ["grid"]


def grid(
    adata: "AnnData",
    *,
    upsample: int = 2,
    bin_size: float | Literal["auto"] | None = None,
    bin_shape: Literal["square", "hex"] = "square",
    min_cells: int = 1,
    fill: Fill = "tissue",
    spatial_key: str = "spatial",
    library_key: str | None = None,
) -> "AnnData":
    """Lay a section on its lattice and add the unmeasured sites inside the tissue.

    The lattice is read from ``array_row`` and ``array_col`` where `adata.obs` has them (any offset and spacing), else
    fitted to the coordinates, else made of bins.

    Parameters
    ----------
    adata
        One section, or several with `library_key`. Not changed.
    upsample
        Spacing of the spots in sites of the result, 1 to 8. 2 puts one site between two neighbouring spots (four
        times as many sites), 1 adds only the holes inside the tissue.
    bin_size
        For cells or beads (Xenium, MERFISH, CosMx, Slide-seq, Stereo-seq, Visium HD): side of square bins, or distance
        of the centres of hexagonal ones, in the units of the coordinates; ``"auto"``: so that bins hold 4 cells on
        average. A bin's counts are the sums over its cells. Values that are no counts (any that is not a whole number,
        or negative) are averaged instead. Bins without cells inside the tissue are unmeasured sites.
        :func:`s2s_scverse.get.at` carries values back to the cells: which bin a cell is in follows from the lattice.
    bin_shape
        ``"square"``, or ``"hex"`` for bins on a hexagonal lattice.
    min_cells
        Bins with fewer cells count as unmeasured: their counts say little.
    fill
        Where to add sites. ``"tissue"``: the morphological closing of the spots on the dense lattice, so gaps up to two
        spots wide are filled and larger holes stay holes. ``"hull"``: the convex hull of the spots. ``"all"``: the
        whole bounding box.
    spatial_key
        Key of `adata.obsm` with x and y of every spot.
    library_key
        Column of `adata.obs` that tells several sections apart. Each is laid out as if it were alone, on a lattice of
        its own kind and size; their coordinates may overlap.

    Returns
    -------
    A new AnnData: the spots first, in their order and with their names, then the new sites, named
    ``site_<row>x<col>`` (with `library_key`: ``<section>_site_<row>x<col>``), whose rows in X, layers and raw are 0 and
    whose other annotations are missing.
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
        Kind, shape, stride, pitch (units of the coordinates), basis and origin of the lattice, and `residual`: root
        mean square distance of the spots from their lattice positions, in spot pitches. With `library_key`:
        `library_key`, and in `sections` such an entry for each. With `bin_size` also `bins`: whether X and each layer
        were summed or averaged.
    `.uns['spatial']`
        Where there is one: as it was, with ``spot_diameter_fullres`` divided by `upsample` (of bins: set to their size
        first), so that squidpy draws sites in their size on the image. Coordinates (and `bin_size`) must then be in
        pixels of the full image, as squidpy expects.

    Integer annotations of spots become floats and truth values nullable, since new sites have none. Pairwise
    annotations (`.obsp`) are dropped where sites are added, and so are layers that this package wrote: they belong to
    the lattice they were made on. With `bin_size`, only X, layers, var and ``uns["spatial"]`` are carried over to the
    bins. Backed and lazy (dask) sections are read into memory.

    Raises
    ------
    KeyError
        If the coordinates or the `library_key` are missing.
    TypeError
        If arguments or coordinates are of a wrong type.
    ValueError
        If no lattice is found, spots share a position, `adata` has unmeasured sites already, or bins would hold
        values that are held out.

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
    check_choice("bin_shape", bin_shape, ("square", "hex"))
    check_int("min_cells", min_cells, least=1)
    coordinates = check_coordinates(adata, spatial_key)
    _check_spots(adata)
    sections = _split(adata, library_key)
    pooling: dict[str, str] = {}
    size: float | None = None
    if bin_size is None:
        spots = _without_runs(_in_memory(adata))
        lattices = [_found(adata, coordinates, name, rows) for name, rows in sections.items()]
    else:
        _check_nothing_hidden(adata)
        size = _bin_size(bin_size, [coordinates[rows] for rows in sections.values()])
        lattices, bins = _laid_bins(coordinates, sections, size, bin_shape, min_cells)
        spots, pooling = binned(_without_runs(_in_memory(adata)), lattices, bins, spatial_key)
        ends = np.cumsum([len(lattice) for lattice in lattices])
        sections = {
            name: np.arange(end - len(lattice), end)
            for name, end, lattice in zip(sections, ends, lattices, strict=True)
        }
        if library_key is not None:
            spots.obs[library_key] = [str(name) for name, rows in sections.items() for _ in rows]

    laid = [
        Laid(name, rows, _filled(lattice, factor, fill))
        for (name, rows), lattice in zip(sections.items(), lattices, strict=True)
    ]
    if size is not None:
        names = [site_names(each.lattice, each.name)[: len(each.rows)] for each in laid]
        spots.obs_names = names[0].append(names[1:])
    dense = extended(spots, laid, spatial_key, library_key)
    entries = {each.name: _entry(each, dense.obsm[spatial_key][each.rows], factor) for each in laid}
    entry = entries[None] if library_key is None else {_keys.LIBRARY_KEY: library_key, _keys.SECTIONS: entries}
    dense.uns[_keys.UNS] = {_keys.GRID: entry | ({"bins": pooling} if pooling else {})}
    if "spatial" in dense.uns:
        finer = factor if size is not None else factor / _earlier_stride(adata)
        dense.uns["spatial"] = with_spot_size(dense.uns["spatial"], finer, size)
    return dense


def _entry(section: Laid, coordinates: NDArray[np.float64], factor: int) -> dict[str, Any]:
    """Describe a lattice, and how well its spots lie on it."""
    spots = section.lattice.subset(np.arange(len(section.rows)))
    return grid_entry(section.lattice, stride=factor) | {"residual": residual(spots, coordinates) / factor}


def _laid_bins(
    coordinates: NDArray[np.float64],
    sections: "dict[str | None, NDArray[np.int64]]",
    size: float,
    shape: Literal["square", "hex"],
    min_cells: int,
) -> tuple[list[Lattice], NDArray[np.int64]]:
    """Lay bins over each section; the bin of each cell is counted through all sections, -1 for none."""
    bins, lattices, n_bins = np.full(len(coordinates), -1, dtype=np.int64), [], 0
    for name, rows in sections.items():
        lattice, own = _named(name, bin_lattice, coordinates[rows], size, shape=shape, min_cells=min_cells)
        bins[rows] = np.where(own >= 0, own + n_bins, -1)
        lattices.append(lattice)
        n_bins += len(lattice)
    return lattices, bins


def _filled(lattice: Lattice, factor: int, fill: Fill) -> Lattice:
    """Return the spots on the dense lattice, and after them the new sites."""
    lattice = lattice.densified(factor)
    new = fill_sites(lattice, factor=factor, fill=fill)
    return lattice.with_index(np.concatenate([lattice.index, new])).rebased()


def _split(adata: "AnnData", library_key: str | None) -> dict[str | None, NDArray[np.int64]]:
    """Return the rows of every section, in the order in which they come first."""
    if library_key is None:
        return {None: np.arange(adata.n_obs)}
    check_name("library_key", library_key)
    if library_key not in adata.obs:
        msg = f"library_key={library_key!r} not found in adata.obs, which has: {few(adata.obs.columns) or 'no column'}"
        raise KeyError(msg)
    column = adata.obs[library_key]
    if column.isna().any():
        msg = (
            f"adata.obs[{library_key!r}] is missing for {int(column.isna().sum())} of {adata.n_obs} spots; name the "
            "section of each, or drop them"
        )
        raise ValueError(msg)
    names = column.astype(str).to_numpy()
    slashed = sorted({name for name in names if "/" in name})
    if slashed:
        msg = f"names of sections must not hold '/', which h5ad files cannot store, found {few(slashed)}; rename them"
        raise ValueError(msg)
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names)}


def _named(name: str | None, call: "Callable[..., T]", *arguments: object, **more: object) -> "T":
    """Call a function on one section, whose name its errors then tell."""
    try:
        return call(*arguments, **more)
    except ValueError as error:
        if name is None:
            raise
        msg = f"section {name!r}: {error}"
        raise ValueError(msg) from error


def _check_nothing_hidden(adata: "AnnData") -> None:
    """Refuse to pool values that are held out with others."""
    if _keys.HELD_OUT in adata.obs and check_column(adata, _keys.HELD_OUT).any():
        msg = (
            f"bins would mix held-out values (adata.obs[{_keys.HELD_OUT!r}]) with others; bin first, then call "
            "s2s.pp.sparsify"
        )
        raise ValueError(msg)


def _earlier_stride(adata: "AnnData") -> float:
    """By how much an earlier call has divided the diameter of spots; 1 if there was none."""
    earlier = adata.uns.get(_keys.UNS, {})
    grid = earlier.get(_keys.GRID, {}) if isinstance(earlier, Mapping) else {}
    entries = [*grid.get(_keys.SECTIONS, {}).values(), grid]
    return float(entries[0].get("stride", 1))


def _found(adata: "AnnData", coordinates: NDArray[np.float64], name: str | None, rows: NDArray[np.int64]) -> Lattice:
    columns = (_keys.ARRAY_ROW, _keys.ARRAY_COL)
    # Of several sections only some may have array positions.
    if all(key in adata.obs and adata.obs[key].iloc[rows].notna().any() for key in columns):
        return _named(name, lattice_from_array, _named(name, array_positions, adata[rows]), coordinates[rows])
    return _named(name, lattice_from_coordinates, coordinates[rows])


def _bin_size(bin_size: object, sections: list[NDArray[np.float64]]) -> float:
    if isinstance(bin_size, str) and bin_size == "auto":
        return auto_bin_size(sections)
    if isinstance(bin_size, bool) or not isinstance(bin_size, int | float | np.number):
        msg = f"bin_size must be a number in the units of the coordinates, or 'auto', found {bin_size!r}"
        raise TypeError(msg)
    return check_positive("bin_size", bin_size)


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


def _in_memory(adata: "AnnData") -> "AnnData":
    """Read what is backed by a file or lazy."""
    lazy = any(hasattr(matrix, "compute") for matrix in (adata.X, *named_layers(adata).values()))
    return adata.to_memory() if adata.isbacked or lazy else adata


def _without_runs(adata: "AnnData") -> "AnnData":
    """Leave out what belongs to another lattice."""
    stale = [key for key in find_runs(adata) if key in adata.layers]
    if not stale:
        return adata
    adata = adata.copy()
    for key in stale:
        del adata.layers[key]
        adata.layers.pop(_keys.STD.format(key), None)
        adata.obs = adata.obs.drop(columns=_keys.VISIBLE.format(key), errors="ignore")
        adata.var = adata.var.drop(columns=_keys.RELIABILITY.format(key), errors="ignore")
    return adata
