import warnings
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from .. import _keys
from .._adata import grid_entry, read_mask
from .._checks import check_adata, check_choice, check_int, check_positive, check_type, check_unique_genes
from .._lattice import Fill, auto_bin_size, bin_lattice, residual
from ._check_sections import check_cells, check_libraries
from ._sites import Laid, binned, extended, with_spot_size
from ._spots import (
    find_lattice,
    find_measured,
    naming,
    read_coordinates,
    read_spots,
    split,
    spots_in_memory,
    warn_of_depth,
)

WARPED = 0.12  # residual, in pitches, above which `grid` warns; coordinates adjusted to an image have up to 0.1


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
    """Lay a section out on its lattice, and add unmeasured sites inside the tissue.

    The lattice is defined by ``array_row`` and ``array_col`` in `adata.obs` (with any offset and spacing), else fitted
    to the coordinates, or made of bins. Spots whose ``obs["in_tissue"]`` is 0 are dropped. Spots without counts (in X
    or ``layers["counts"]``) become unmeasured sites. Both are logged.

    Parameters
    ----------
    adata
        A section, or several with `library_key`.
    upsample
        Spacing of the spots in sites of the result, 1 to 8. 2 adds a site between neighbouring spots (four times as
        many sites), 1 only fills holes inside the tissue.
    bin_size
        For cells or beads (Xenium, MERFISH, CosMx, Slide-seq, Stereo-seq, Visium HD): side of square bins, or distance
        between the centres of hexagonal bins, in the units of the coordinates; ``"auto"`` for 4 cells per bin on
        average. Counts are summed over the cells of a bin; other values are averaged. Bins without cells or counts are
        unmeasured sites. If the cells lie on a lattice of the same shape (small bins of Visium HD), bins are aligned
        with it. :func:`s2s_scverse.get.at` maps values back to the cells.
    bin_shape
        ``"square"`` or ``"hex"``.
    min_cells
        Bins with fewer cells are unmeasured sites.
    fill
        Where to add sites: ``"tissue"``, the morphological closing of the spots, which fills gaps up to two spots wide;
        ``"hull"``, their convex hull; ``"all"``, their bounding box.
    spatial_key
        Key of `adata.obsm` with x and y of every spot. If there are no coordinates, they are set from the array
        positions with a distance of 1 between spots.
    library_key
        Column of `adata.obs` with the names of several sections, each of which gets its own lattice; their coordinates
        may overlap. Without it, data that seem to hold several sections raise an error or a warning.

    Returns
    -------
    A new AnnData with the spots, followed by the new sites, which are named ``site_<row>x<col>`` (with `library_key`:
    ``<section>_site_<row>x<col>``) and are 0 in X, layers and raw. They have the annotations in `.obs` that all
    spots of their section share, such as the sample, and no others. Sets the following fields:

    `.obs['array_row']`, `.obs['array_col']`
        Lattice position of every site, in units of sites, from 0.
    `.obs['s2s_measured']`
        Whether the site is a spot that has counts and is not held out.
    `.obs['n_cells']`
        With `bin_size`: number of cells in the bin.
    `.obsm[spatial_key]`
        Coordinates; those of new sites follow the fitted lattice and the displacement of neighbouring spots.
    `.uns['s2s']['grid']`
        `kind`, `shape`, `stride`, `pitch` (units of the coordinates), `basis` and `origin` of the lattice, and
        `residual`, the root mean square distance of the spots from their lattice positions, in spot pitches. With
        `library_key`: its name, and such an entry for each section in `sections`. With `bin_size`: whether X and each
        layer were summed or averaged, in `bins`.
    `.uns['spatial']`
        If present, ``spot_diameter_fullres`` (or the size of bins) is divided by `upsample`, for plots by squidpy.

    Integer annotations that new sites lack become floats, and booleans nullable. If sites are added, `.obsp` (with its
    entries in `.uns`), ``uns["spatialdata_attrs"]`` and `.obsm` except for the coordinates are dropped. Layers written
    by this package are dropped. With `bin_size`, only X, layers, var and ``uns["spatial"]`` are kept. The result is in
    memory.

    Raises
    ------
    KeyError
        If the coordinates or the `library_key` are missing.
    TypeError, ValueError
        If an argument or coordinates are invalid, no lattice is found, spots share a position, array positions
        contradict the coordinates, no spot has counts or lies on tissue, `adata` holds several sections, local
        coordinates of fields of view or unmeasured sites, or bins would mix held-out and other values.

    Warns
    -----
    UserWarning
        If rows or columns (see :func:`s2s_scverse.pp.mask_artifacts`) or a region as outside the tissue have hardly any
        counts, spots lie far from the lattice, bins average values that are not counts, or `adata` may hold several
        sections.

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
    laid: list[Laid] = []
    if bin_size is None:
        for name, rows in sections.items():
            with naming(name):
                lattice = find_lattice(adata if name is None else adata[rows], coordinates[rows], alone=name is None)
            laid.append(Laid(name, rows, lattice, coordinates[rows]))
        spots = spots_in_memory(adata)
        measured = find_measured(spots, laid, what="spots")
    else:
        size = _bin_size(adata, bin_size, [coordinates[rows] for rows in sections.values()])
        bins, n_bins = np.full(adata.n_obs, -1), 0  # the bin of each cell, numbered over all sections
        for name, rows in sections.items():
            with naming(name):
                lattice, own = bin_lattice(coordinates[rows], size, shape=bin_shape, min_cells=min_cells)
            bins[rows] = np.where(own >= 0, own + n_bins, -1)
            laid.append(Laid(name, np.arange(n_bins, n_bins + len(lattice)), lattice, lattice.coordinates))
            n_bins += len(lattice)
        if library_key is None:
            check_cells(adata, coordinates, spatial_key)
        spots, pooling = binned(spots_in_memory(adata), laid, bins, spatial_key)
        if library_key is not None:
            spots.obs[library_key] = [str(each.name) for each in laid for _ in each.rows]
        # The size may have been set to a multiple of the pitch of the cells' lattice.
        size = size if np.isclose(size, laid[0].lattice.pitch, rtol=1e-9) else laid[0].lattice.pitch
        measured = find_measured(spots, laid, what="bins")
    warn_of_depth(spots, laid, measured, bins=size is not None)
    laid = [each.filled(factor, fill) for each in laid]
    if size is not None:
        spots.obs_names = [name for each in laid for name in each.names(each.spots)]
    dense = extended(spots, laid, measured, spatial_key, library_key)
    entries = {each.name: _entry(each, factor) for each in laid}
    entry = entries[None] if library_key is None else {_keys.LIBRARY_KEY: library_key, _keys.SECTIONS: entries}
    dense.uns[_keys.UNS] = {_keys.GRID: entry | ({"bins": pooling} if pooling else {})}
    if "spatial" in dense.uns:
        # An earlier call divided the diameter of spots already.
        entry = adata.uns.get(_keys.UNS, {}).get(_keys.GRID, {})
        earlier = next(iter(entry.get(_keys.SECTIONS, {}).values()), entry)
        finer = factor if size is not None else factor / float(earlier.get("stride", 1))
        dense.uns["spatial"] = with_spot_size(dense.uns["spatial"], finer, size)
    return dense


def _entry(section: Laid, factor: int) -> dict[str, Any]:
    """Return the entry of a section in uns; warn if its spots are far from the lattice."""
    distance = residual(section.spots, section.coordinates) / factor
    if distance > WARPED:
        msg = f"{section.prefix}spots lie {distance:.2f} pitches (RMS) from the lattice that fits them best"
        warnings.warn(msg, UserWarning, stacklevel=3)
    return grid_entry(section.lattice, stride=factor) | {"residual": distance}


def _bin_size(adata: AnnData, bin_size: object, sections: list[NDArray[np.float64]]) -> float:
    """Return the size of bins; refuse to pool held-out values."""
    if read_mask(adata, _keys.HELD_OUT).any():
        msg = f"bins would mix held-out values ({_keys.HELD_OUT}) with others; bin first, then call s2s.pp.sparsify"
        raise ValueError(msg)
    if isinstance(bin_size, str) and bin_size == "auto":
        return auto_bin_size(sections)
    expected = "a number in the units of the coordinates, or 'auto'"
    check_type("bin_size", bin_size, expected, float, int, np.floating, np.integer)
    return check_positive("bin_size", bin_size)
