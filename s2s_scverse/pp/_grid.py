import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import grid_entry, read_mask
from .._checks import check_adata, check_choice, check_int, check_positive, check_type, check_unique_genes
from .._lattice import Fill, auto_bin_size, bin_lattice, residual
from ._bins import binned
from ._check_sections import check_cells, check_libraries
from ._sites import Laid, extended, with_spot_size
from ._spots import (
    find_lattice,
    find_measured,
    in_memory,
    naming,
    read_coordinates,
    read_spots,
    split,
    warn_of_dead_lines,
)

__all__ = ["grid"]

WARPED = 0.12
"""Residual in pitches from which `grid` warns; coordinates adjusted to an image have up to .1."""


def grid(
    adata: AnnData,
    *,
    upsample: int = 2,
    bin_size: float | Literal["auto"] | None = None,
    bin_shape: Literal["square", "hex"] = "square",
    min_cells: int = 1,
    fill: Fill = "tissue",
    spatial_key: str = "spatial",
    library_key: str | None = None,
) -> AnnData:
    """Lay a section on its lattice and add the unmeasured sites inside the tissue.

    The lattice is read from ``array_row`` and ``array_col`` where `adata.obs` has them (any offset and spacing), else
    fitted to the coordinates, else made of bins. Spots whose ``obs["in_tissue"]`` is 0 are left out. Spots without any
    count (in X or ``layers["counts"]``) keep their place and name, but are not measured. Both are logged.

    Parameters
    ----------
    adata
        One section, or several with `library_key`. Not changed.
    upsample
        Spacing of the spots in sites of the result, 1 to 8. 2 puts one site between two neighbouring spots (four
        times as many sites), 1 only fills holes inside the tissue.
    bin_size
        For cells or beads (Xenium, MERFISH, CosMx, Slide-seq, Stereo-seq, Visium HD): side of square bins, or distance
        of the centres of hexagonal ones, in the units of the coordinates; ``"auto"`` for 4 cells per bin on average.
        Counts are summed over the cells of a bin; other values (any negative or not whole) are averaged. Bins without
        cells inside the tissue and bins without counts are unmeasured sites. Where cells lie on a lattice of the same
        shape (small bins of Visium HD), bins follow it, so that each holds whole small bins around its centre.
        :func:`s2s_scverse.get.at` carries values back to the cells.
    bin_shape
        ``"square"``, or ``"hex"`` for bins on a hexagonal lattice.
    min_cells
        Bins with fewer cells are unmeasured sites.
    fill
        Where to add sites: ``"tissue"``, in the morphological closing of the spots on the dense lattice, which fills
        gaps up to two spots wide; ``"hull"``, in the convex hull of the spots; ``"all"``, in the bounding box.
    spatial_key
        Key of `adata.obsm` with x and y of every spot. Without coordinates, those of the array positions at a distance
        of 1 are used and written.
    library_key
        Column of `adata.obs` that tells several sections apart. Each is laid out on a lattice of its own; their
        coordinates may overlap. Without it, an `adata` that looks like several sections is refused or warned of:
        ``uns["spatial"]`` names several, positions repeat or contradict each other, or a column is named like one of
        samples.

    Returns
    -------
    A new AnnData: the spots first, in their order and with their names, then the new sites, named
    ``site_<row>x<col>`` (with `library_key`: ``<section>_site_<row>x<col>``), whose rows in X, layers and raw are 0 and
    whose other annotations are missing.
    Sets the following fields:

    `.obs['array_row']`, `.obs['array_col']`
        Lattice position of every site, counted in dense sites from 0.
    `.obs['s2s_measured']`
        Whether the site is a measured spot: neither new, nor held out, nor without counts.
    `.obs['n_cells']`
        Only with `bin_size`: number of cells in the bin.
    `.obsm[spatial_key]`
        Coordinates of spots as given, of new sites from the fitted lattice, displaced like the spots around them.
    `.uns['s2s']['grid']`
        Kind, shape, stride, pitch (units of the coordinates), basis and origin of the lattice, and `residual`: root
        mean square distance of the spots from their lattice positions, in spot pitches. With `library_key`:
        `library_key`, and in `sections` such an entry for each. With `bin_size` also `bins`: whether X and each layer
        were summed or averaged.
    `.uns['spatial']`
        If present: ``spot_diameter_fullres`` (of bins: their size) is divided by `upsample`, so that squidpy draws
        sites in their size. Coordinates and `bin_size` must then be in pixels of the full image, as squidpy expects.

    Integer annotations of spots become floats and truth values nullable, since new sites have none. Where sites are
    added, pairwise annotations (`.obsp`, with their entries in `.uns`) and all of `.obsm` but the coordinates are
    dropped. Layers that this package wrote are always dropped. With `bin_size`, only X, layers, var and
    ``uns["spatial"]`` are kept. Backed and lazy (dask) sections are read into memory.

    Raises
    ------
    KeyError
        If the coordinates or the `library_key` are missing.
    TypeError, ValueError
        If arguments or coordinates are of a wrong type or out of bounds, no lattice is found, spots share a position,
        array positions contradict the coordinates, no spot lies on tissue or holds counts, `adata` holds several
        sections or coordinates local to fields of view, has unmeasured sites already, or bins would hold held-out
        values.

    Warns
    -----
    UserWarning
        If rows or columns have hardly any counts (see :func:`s2s_scverse.pp.mask_artifacts`), spots lie far from the
        lattice, bins average values that are not counts, or `adata` may hold several sections.

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
    adata = read_spots(adata)
    sections = split(adata, library_key)
    coordinates = read_coordinates(adata, spatial_key)
    if library_key is None:
        check_libraries(adata)
    pooling: dict[str, str] = {}
    size: float | None = None
    if bin_size is None:
        laid = []
        for name, rows in sections.items():
            with naming(name):
                lattice = find_lattice(adata if name is None else adata[rows], coordinates[rows], alone=name is None)
            laid.append(Laid(name, rows, lattice, coordinates[rows]))
        spots = in_memory(adata)
        measured = find_measured(spots, laid, what="spots")
        warn_of_dead_lines(spots, laid, measured)
    else:
        size = _bin_size(adata, bin_size, [coordinates[rows] for rows in sections.values()])
        laid, bins = _laid_bins(coordinates, sections, size, bin_shape, min_cells)
        if library_key is None:
            check_cells(adata, coordinates, spatial_key)
        spots, pooling = binned(in_memory(adata), [each.lattice for each in laid], bins, spatial_key)
        if library_key is not None:
            spots.obs[library_key] = [str(each.name) for each in laid for _ in each.rows]
        # Where cells lie on a lattice, the size may have become a multiple of its pitch.
        size = size if np.isclose(size, laid[0].lattice.pitch, rtol=1e-9) else laid[0].lattice.pitch
        measured = find_measured(spots, laid, what="bins")
    laid = [each.filled(factor, fill) for each in laid]
    if size is not None:
        spots.obs_names = [name for each in laid for name in each.names(each.spots)]
    dense = extended(spots, laid, measured, spatial_key, library_key)
    entries = {each.name: _entry(each, factor) for each in laid}
    entry = entries[None] if library_key is None else {_keys.LIBRARY_KEY: library_key, _keys.SECTIONS: entries}
    dense.uns[_keys.UNS] = {_keys.GRID: entry | ({"bins": pooling} if pooling else {})}
    if "spatial" in dense.uns:
        finer = factor if size is not None else factor / _earlier_stride(adata)
        dense.uns["spatial"] = with_spot_size(dense.uns["spatial"], finer, size)
    return dense


def _entry(section: Laid, factor: int) -> dict[str, Any]:
    """Describe a lattice, and how well its spots lie on it; warn where they do not."""
    distance = residual(section.spots, section.coordinates) / factor
    if distance > WARPED:
        msg = (
            f"{section.prefix}spots lie {distance:.2f} pitches (root mean square) from the lattice that fits them "
            "best, as in a warped section; coordinates of new sites follow those of the spots around them"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    return grid_entry(section.lattice, stride=factor) | {"residual": distance}


def _laid_bins(
    coordinates: NDArray[np.float64],
    sections: dict[str | None, NDArray[np.int64]],
    size: float,
    shape: Literal["square", "hex"],
    min_cells: int,
) -> tuple[list[Laid], NDArray[np.int64]]:
    """Lay bins over each section; return them, and the bin of each cell, counted through all sections, -1 for none."""
    laid, bins, n_bins = [], np.full(len(coordinates), -1, dtype=np.int64), 0
    for name, rows in sections.items():
        with naming(name):
            lattice, own = bin_lattice(coordinates[rows], size, shape=shape, min_cells=min_cells)
        bins[rows] = np.where(own >= 0, own + n_bins, -1)
        laid.append(Laid(name, np.arange(n_bins, n_bins + len(lattice)), lattice, lattice.coordinates))
        n_bins += len(lattice)
    return laid, bins


def _earlier_stride(adata: AnnData) -> float:
    """Return the number by which an earlier call divided the diameter of spots; 1 if there was none."""
    earlier = adata.uns.get(_keys.UNS, {})
    grid = earlier.get(_keys.GRID, {}) if isinstance(earlier, Mapping) else {}
    entries = [*grid.get(_keys.SECTIONS, {}).values(), grid]
    return float(entries[0].get("stride", 1))


def _bin_size(adata: AnnData, bin_size: object, sections: list[NDArray[np.float64]]) -> float:
    """Return the size of bins; refuse to pool held-out values with others."""
    if read_mask(adata, _keys.HELD_OUT).any():
        msg = (
            f"bins would mix held-out values (adata.obs[{_keys.HELD_OUT!r}]) with others; bin first, then call "
            "s2s.pp.sparsify"
        )
        raise ValueError(msg)
    if isinstance(bin_size, str) and bin_size == "auto":
        return auto_bin_size(sections)
    expected = "a number in the units of the coordinates, or 'auto'"
    check_type("bin_size", bin_size, expected, float, int, np.floating, np.integer)
    return check_positive("bin_size", bin_size)
